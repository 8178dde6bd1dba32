"""Buckets of Google Cloud Storage: made, and known by their owner."""

from collections.abc import Mapping

from google.api_core import exceptions as api

from keras_remote import credentials, errors
from keras_remote.storage.client import FAILURES, client, message, patient


def make_bucket(
  name: str, *, project: str, location: str, labels: Mapping[str, str]
) -> bool:
  """Makes a bucket whose objects keep their versions; False: it was there.

  Raises:
    StoreAccessError: whoever is logged in may not do this, or nobody is.
    StoreError: it could not be made, or is somebody else's.
  """
  bucket = client().bucket(name)
  bucket.versioning_enabled = True
  bucket.labels = dict(labels)
  bucket.iam_configuration.uniform_bucket_level_access_enabled = True
  bucket.iam_configuration.public_access_prevention = "enforced"
  try:
    client().create_bucket(
      bucket, project=project, location=location, **patient()
    )
  except api.Conflict:
    check_owner(name, project)
    return False
  except (api.Unauthorized, *credentials.LOGGED_OUT) as error:
    raise errors.StoreAccessError(credentials.CURE) from error
  except FAILURES as error:
    kind = errors.StoreError
    if isinstance(error, api.Forbidden):
      kind = errors.StoreAccessError
    raise kind(
      f"the bucket gs://{name} cannot be made: {message(error)}"
    ) from error
  return True


def check_owner(name: str, project: str) -> None:
  """Passes where the bucket, which there is, is the project's.

  Buckets of all projects share their names: whoever took it first has it.

  Raises:
    StoreAccessError: it is another project's, or that cannot be told.
    StoreError: Google does not tell.
  """
  try:
    found = client().list_buckets(project=project, prefix=name, **patient())
    names = {bucket.name for bucket in found}
  except (api.Forbidden, api.Unauthorized, *credentials.LOGGED_OUT) as error:
    raise errors.StoreAccessError(
      f"there is a bucket gs://{name}, and whoever is logged in may not list "
      f"those of project {project}: either another project has taken the "
      f"name, or who owns this one can allow it with `keras-remote up "
      f"--member`, or with roles/storage.bucketViewer ({message(error)})"
    ) from error
  except FAILURES as error:
    raise errors.StoreError(
      f"whose the bucket gs://{name} is cannot be told: {message(error)}"
    ) from error
  if name not in names:
    raise errors.StoreAccessError(
      f"the bucket gs://{name} is none of project {project}: another project "
      "has taken its name, and what is in it is not believed. Whoever owns it "
      "must remove it, or clusters be in another project"
    )
