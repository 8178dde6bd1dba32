"""What Google's services say when they refuse, as a sentence with a cure."""

import re
from dataclasses import dataclass

from google.api_core import exceptions as api

from keras_remote import credentials, errors

INSTALL = 'image="install" runs without a build'
# What Cloud Build says of a caller who may not have this account build.
_ACT_AS = re.compile(r"act as service account \S*?([^\s/]+@[^\s/]*\w)")


@dataclass(frozen=True)
class Service:
  """One of Google's services, as its refusals are about it.

  Attributes:
    role: what allows whoever asks.
    cure: a command that does what was refused, where somebody else may.
  """

  name: str
  api: str
  role: str
  cure: str = ""


ARTIFACTS = Service(
  "Artifact Registry",
  "artifactregistry.googleapis.com",
  "roles/artifactregistry.reader",
)
REPOSITORY = Service(
  "Artifact Registry",
  "artifactregistry.googleapis.com",
  "roles/artifactregistry.admin",
  "gcloud artifacts repositories create keras-remote "
  "--repository-format=docker --location={location} --project={project}",
)
BUILDS = Service(
  "Cloud Build", "cloudbuild.googleapis.com", "roles/cloudbuild.builds.editor"
)


def translate(
  error: Exception, service: Service, what: str, project: str, location: str
) -> errors.ImageBuildError:
  """The error for a person.

  Args:
    what: was to be done, such as "build the image".
  """
  if isinstance(error, api.RetryError) and isinstance(error.cause, Exception):
    error = error.cause
  said = _message(error)
  failed = f"{service.name} did not {what} in project {project}"
  if isinstance(error, api.PermissionDenied) and _disabled(error):
    return errors.ImageBuildError(
      f"{failed}: its API is not enabled there: `gcloud services enable "
      f"{service.api} --project={project}`; until then {INSTALL}"
    )
  if isinstance(error, api.PermissionDenied):
    if account := _ACT_AS.search(said):
      cure = (
        "who owns the project can allow it: `keras-remote up --member "
        "user:YOU`, or `gcloud iam service-accounts add-iam-policy-binding "
        f"{account[1]} --project={project} --member=user:YOU "
        "--role=roles/iam.serviceAccountUser`; build_service_account= names "
        "another account"
      )
    elif service.cure:
      command = service.cure.format(location=location, project=project)
      cure = f"who may can do it once: `{command}`"
    else:
      cure = (
        f"who owns the project can allow it: `gcloud projects "
        f"add-iam-policy-binding {project} --member=user:YOU "
        f"--role={service.role}`"
      )
    return errors.ImageAccessError(
      f"{failed}: whoever is logged in may not do this ({said}); {cure}; "
      f"until then {INSTALL}"
    )
  if isinstance(error, credentials.GoogleAuthError | api.Unauthenticated) or (
    "Getting metadata from plugin failed" in said
  ):
    return errors.ImageAccessError(f"{failed}: {credentials.CURE}")
  if isinstance(error, api.NotFound):
    return errors.ImageBuildError(
      f"{failed}: {said}; `gcloud projects describe {project}` says whether "
      "there is such a project"
    )
  if isinstance(error, api.ResourceExhausted):
    return errors.ImageBuildError(
      f"{failed}: its quota is used up ({said}); `gcloud builds list "
      f"--ongoing --project={project}` shows what runs; meanwhile {INSTALL}"
    )
  if isinstance(error, api.ServiceUnavailable | api.DeadlineExceeded):
    return errors.ImageBuildError(
      f"{failed}: it did not answer, though it was asked for a while "
      f"({said}): try again; {INSTALL}"
    )
  return errors.ImageBuildError(f"{failed}: {said}; {INSTALL}")


def _disabled(error: api.PermissionDenied) -> bool:
  return error.reason == "SERVICE_DISABLED" or "SERVICE_DISABLED" in str(error)


def _message(error: BaseException) -> str:
  text = getattr(error, "message", None) or str(error)
  return str(text).strip().split("\n")[0] or type(error).__name__
