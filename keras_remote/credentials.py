"""Google log-in: the one importer of google.auth."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import google.auth
from google.auth import exceptions
from google.auth.credentials import Credentials

from keras_remote import errors
from keras_remote.checks import Check, Link, look_at

if TYPE_CHECKING:
  import requests

_SCOPES = "https://www.googleapis.com/auth"
_PLATFORM = f"{_SCOPES}/cloud-platform"
# Without it a cluster is not told the address, by which RBAC names people.
_ADDRESS = f"{_SCOPES}/userinfo.email"
# Seconds for which Google's server of tokens may take.
_TIMEOUT = 20.0
# The link of whoever needs to be logged in.
LINK = "Google log-in"
_STDERR = 2
_LOG_IN = ("gcloud", "auth", "application-default", "login")
CURE = (
  "nobody is logged in to Google Cloud here: `gcloud auth application-default "
  "login`; in CI, GOOGLE_APPLICATION_CREDENTIALS names a file of credentials"
)
GoogleAuthError = exceptions.GoogleAuthError
# What says that somebody has to log in, rather than that nothing answers.
LOGGED_OUT = (exceptions.DefaultCredentialsError, exceptions.RefreshError)


def google_credentials(*, address: bool = False) -> Credentials:
  """The application default credentials of whoever runs this.

  Args:
    address: they say also who that is.

  Raises:
    CredentialsError: there are none.
  """
  try:
    scopes = [_PLATFORM, *([_ADDRESS] if address else ())]
    found, _ = google.auth.default(scopes=scopes)
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
    self._credentials: Any = google_credentials(address=True)
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
  def of_user(self) -> bool:
    """Whether a person logged in, rather than a service's account."""
    return hasattr(self._credentials, "refresh_token")

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


def link() -> Link:
  """Whether somebody is logged in, and to whose account requests count."""
  return Link(LINK, _look, mend=log_in, asks=True)


def _look() -> Check:
  token = AccessToken()
  try:
    token.text()
  except ConnectionError as error:
    cure = "look at this machine's network and proxies"
    return Check(LINK, False, str(error), cure)
  who = f" as {token.who}" if token.who else ""
  sentence = f"somebody is logged in{who}"
  if token.of_user and not token.quota_project:
    sentence += ", whose requests count for no project, which some refuse"
    cure = "`gcloud auth application-default set-quota-project PROJECT`"
    return Check(LINK, True, sentence, cure)
  return Check(LINK, True, sentence)


def log_in() -> None:
  """Lets gcloud log somebody in, who answers it on this terminal.

  Raises:
    CredentialsError: it did not.
  """
  if not shutil.which(_LOG_IN[0]):
    raise errors.CredentialsError(
      "gcloud, which logs in to Google Cloud, is not installed here: see "
      "https://cloud.google.com/sdk/docs/install"
    )
  # What it says is none of this command's output.
  if subprocess.run(_LOG_IN, check=False, stdout=_STDERR).returncode:
    raise errors.CredentialsError(f"`{' '.join(_LOG_IN)}` did not log you in")


def ensure_credentials(
  links: Sequence[Link], *, ask: Callable[[str], bool] | None = None
) -> bool:
  """Passes where nothing is missing that a call takes; whether it logged in.

  Args:
    ask: puts a question to whoever sits here; None where nobody does.

  Raises:
    KerasRemoteError: the one thing that is missing.
    CredentialsError: several things are; it names each with its cure.
  """
  missing, logged_in = _missing(links), False
  if ask and any(check.what == LINK for check in missing):
    question = "nobody is logged in to Google Cloud here: log in now"
    if shutil.which(_LOG_IN[0]) and ask(question):
      log_in()
      missing, logged_in = _missing(links), True
  if not missing:
    return logged_in
  if len(missing) == 1 and missing[0].error:
    raise missing[0].error
  told = "\n".join(f"- {c.what}: {_told(c)}" for c in missing)
  raise errors.CredentialsError(
    f"{len(missing)} things are missing here for a call:\n{told}"
  )


def _missing(links: Sequence[Link]) -> list[Check]:
  vital = {link.what for link in links if link.vital}
  return [c for c in look_at(links) if c.ok is False and c.what in vital]


def _told(check: Check) -> str:
  return f"{check.sentence}: {check.cure}" if check.cure else check.sentence
