"""Google log-in: the one importer of google.auth."""

import google.auth
from google.auth import exceptions
from google.auth.credentials import Credentials

from keras_remote import errors

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
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
