"""Google log-in: the one importer of google.auth."""

import threading
from typing import TYPE_CHECKING, Any

import google.auth
from google.auth import exceptions
from google.auth.credentials import Credentials

from keras_remote import errors

if TYPE_CHECKING:
  import requests

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# Seconds for which Google's server of tokens may take.
_TIMEOUT = 20.0
CURE = (
  "nobody is logged in to Google Cloud here: `gcloud auth application-default "
  "login`; in CI, GOOGLE_APPLICATION_CREDENTIALS names a file of credentials"
)
GoogleAuthError = exceptions.GoogleAuthError
# What says that somebody has to log in, rather than that nothing answers.
LOGGED_OUT = (exceptions.DefaultCredentialsError, exceptions.RefreshError)


def google_credentials() -> Credentials:
  """The application default credentials of whoever runs this.

  Raises:
    CredentialsError: there are none.
  """
  try:
    found, _ = google.auth.default(scopes=[_SCOPE])
  except exceptions.DefaultCredentialsError as error:
    raise errors.CredentialsError(CURE) from error
  return found


class AccessToken:
  """What proves to Google's services who asks; renewed before it ends.

  Any thread may use it.

  Raises:
    CredentialsError: nobody is logged in.
  """

  def __init__(self) -> None:
    self._credentials: Any = google_credentials()
    self._lock = threading.Lock()

  @property
  def who(self) -> str:
    """The account, where the log-in says it."""
    found = self._credentials
    names = (
      getattr(found, n, "") for n in ("service_account_email", "account")
    )
    return next(filter(None, names), "")

  @property
  def quota_project(self) -> str | None:
    """The project that requests are counted for, where the log-in says it."""
    return self._credentials.quota_project_id

  def text(self) -> str:
    """A token that is good for some minutes.

    Raises:
      CredentialsError: whoever is logged in has to do it again.
      ConnectionError: nothing answers, which may pass.
    """
    with self._lock:
      if not self._credentials.valid:
        self._refresh()
      return self._credentials.token

  def renew(self) -> None:
    """Takes another token: a server knows this one no longer.

    Raises:
      CredentialsError: whoever is logged in has to do it again.
      ConnectionError: nothing answers, which may pass.
    """
    with self._lock:
      self._refresh()

  def session(self) -> "requests.Session":
    """A session whose requests bear the token; it is to be closed."""
    from google.auth.transport.requests import AuthorizedSession

    return AuthorizedSession(self._credentials)

  def _refresh(self) -> None:
    import functools

    import requests
    from google.auth.transport.requests import Request

    with requests.Session() as session:
      ask = functools.partial(Request(session), timeout=_TIMEOUT)
      try:
        self._credentials.refresh(ask)
      except exceptions.GoogleAuthError as error:
        if isinstance(error, LOGGED_OUT) and not error.retryable:
          raise errors.CredentialsError(CURE) from error
        raise ConnectionError(f"no token can be had: {error}") from error
