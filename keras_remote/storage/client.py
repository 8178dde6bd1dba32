"""The client of Google Cloud Storage, and how its requests are made."""

import functools
import os
from typing import Any

import requests
from google.api_core import exceptions as api
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from keras_remote import credentials

# Seconds to connect, and between two pieces of an answer.
TIMEOUT = (10.0, 60.0)
# Seconds for which a request that fails is made again.
PATIENCE = 120.0
# Seconds before the first retry at most, and before any.
_WAITS = (0.2, 5.0)
# What a request that fails raises.
FAILURES = (
  api.GoogleAPIError,
  credentials.GoogleAuthError,
  requests.RequestException,
  DataCorruption,
  OSError,
)


def client() -> storage.Client:
  """The one client of this process, for whoever is logged in.

  Raises:
    CredentialsError: nobody is.
  """
  return _client(os.getpid(), os.environ.get("STORAGE_EMULATOR_HOST"))


def forget_log_in() -> None:
  """Lets stores that are opened from now on use a new log-in."""
  _client.cache_clear()


def patient(patience: float = PATIENCE) -> dict[str, Any]:
  """How requests are made: again for so many seconds where they fail."""
  retry = DEFAULT_RETRY.with_timeout(patience).with_delay(*_WAITS)
  timeout = tuple(min(each, patience) for each in TIMEOUT)
  return {"retry": retry, "timeout": timeout}


def message(error: BaseException) -> str:
  """What it says, in a line."""
  if isinstance(error, api.RetryError) and error.cause:
    return f"{message(error.cause)}; it was tried again for a while"
  return str(error).strip().split("\n")[0] or type(error).__name__


@functools.cache
def _client(process: int, emulator: str | None) -> storage.Client:
  """The one client of a process: it keeps connections, which no fork shares."""
  found = None if emulator else credentials.google_credentials()
  client: Any = storage.Client(project=None, credentials=found)
  # Else it asks for the bucket itself, which not everybody may do, for traces.
  client._bucket_metadata_cache = None
  # Else what is retried leaves its connection behind.
  client._http.hooks["response"].append(_drained)
  return client


def _drained(response: requests.Response, **_: object) -> None:
  if not response.ok:
    response.content  # noqa: B018 It is read, and the connection free.
