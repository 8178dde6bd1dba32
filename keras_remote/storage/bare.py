"""Reads an object of a bucket with nothing but Python's own library.

For a machine of Google's, before a client library is there. What needs more,
such as a key of a service account in a file, waits for that.
"""

import contextlib
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator
from http.client import HTTPException
from typing import BinaryIO, cast

from keras_remote import errors

# Seconds to connect, and between two pieces of an answer.
_TIMEOUT = 60.0
# Where there is no such server, nobody answers.
_METADATA_TIMEOUT = 3.0
_GOOGLE = "https://storage.googleapis.com"
_METADATA = "metadata.google.internal"
_TOKEN = "computeMetadata/v1/instance/service-accounts/default/token"


@contextlib.contextmanager
def open_object(
  store: str, key: str, *, google: str = _GOOGLE
) -> Generator[BinaryIO]:
  """The object as a stream, which nobody has checked.

  Args:
    store: `gs://bucket`, or `gs://bucket/prefix`.
    google: who has the buckets.

  Raises:
    ObjectNotFoundError: there is none.
    StoreError: it cannot be had so.
  """
  bucket, _, prefix = store.removeprefix("gs://").strip("/").partition("/")
  name = f"{prefix}/{key}" if prefix else key
  emulator = os.environ.get("STORAGE_EMULATOR_HOST")
  quoted = urllib.parse.quote(name, safe="")
  url = f"{emulator or google}/storage/v1/b/{bucket}/o/{quoted}?alt=media"
  request = urllib.request.Request(url)
  try:
    if not emulator:
      request.add_header("Authorization", f"Bearer {_token()}")
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
      yield cast(BinaryIO, answer)
  except urllib.error.HTTPError as error:
    with error:
      if error.code == 404:
        raise errors.ObjectNotFoundError(
          f"the store {store} holds no '{key}'"
        ) from error
      raise errors.StoreError(
        f"the store {store} answered {error.code} {error.reason}"
      ) from error
  except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
    raise errors.StoreError(
      f"the store {store} cannot be asked yet: {error}"
    ) from error


def _token() -> str:
  """Of the service account of the machine, or of the pod."""
  if "GOOGLE_APPLICATION_CREDENTIALS" in os.environ:
    raise OSError("who logs in by a file needs google-cloud-storage")
  host = os.environ.get("GCE_METADATA_HOST", _METADATA)
  request = urllib.request.Request(
    f"http://{host}/{_TOKEN}", headers={"Metadata-Flavor": "Google"}
  )
  # Straight there: no proxy knows it.
  direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
  with direct.open(request, timeout=_METADATA_TIMEOUT) as answer:
    return str(json.load(answer)["access_token"])
