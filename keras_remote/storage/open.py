"""From a store's address to the store."""

import os

from keras_remote import constants, errors
from keras_remote.storage.folder import FolderStore
from keras_remote.storage.store import Store


def open_store(uri: str, *, patience: float | None = None) -> Store:
  """The store at this address: a folder's path, or `gs://bucket/prefix`.

  Args:
    patience: seconds after which a request of a bucket fails; None for as many
      as serve most.

  Raises:
    ConfigError: the address is of a kind that this version does not know, or
      what it takes is not installed.
    CredentialsError: nobody is logged in to where it is.
    StoreError: the store cannot be used.
  """
  if is_folder(uri):
    return FolderStore(uri)
  scheme = uri.partition("://")[0]
  if scheme == "gs":
    try:
      from keras_remote.storage.gcs import GcsStore
    except ModuleNotFoundError as error:
      raise errors.ConfigError(
        f"{uri} is a bucket, and Google's client library is not installed: "
        f"{constants.install('gcp')}"
      ) from error
    return (
      GcsStore(uri) if patience is None else GcsStore(uri, patience=patience)
    )
  raise errors.ConfigError(
    f"no store is known for '{scheme}://': give the path of a folder, or "
    "gs://bucket"
  )


def same_address(one: str, other: str) -> bool:
  """Whether two addresses are of the same store."""
  if is_folder(one) and is_folder(other):
    return os.path.realpath(one) == os.path.realpath(other)
  return one.rstrip("/") == other.rstrip("/")


def is_folder(uri: str) -> bool:
  """Whether the store at this address is a folder of this machine's."""
  return "://" not in uri
