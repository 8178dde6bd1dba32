"""From a store's address to the store."""

from keras_remote import errors
from keras_remote.storage.folder import FolderStore
from keras_remote.storage.store import Store


def open_store(uri: str) -> Store:
  """The store at this address: the path of a folder.

  Raises:
    ConfigError: the address is of a kind that this version does not know.
    StoreError: the store cannot be used.
  """
  scheme, separator, _ = uri.partition("://")
  if separator:
    raise errors.ConfigError(
      f"no store is known for '{scheme}://': give the path of a folder"
    )
  return FolderStore(uri)
