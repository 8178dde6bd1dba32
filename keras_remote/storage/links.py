"""What calls take of a store."""

import functools
import os
import secrets
import sys

from keras_remote import clock, errors
from keras_remote.checks import Check, Link
from keras_remote.storage.open import is_folder, open_store
from keras_remote.storage.store import is_bucket

# Where objects that only prove something are, for a moment.
_TRIALS = "trials/"


def link(uri: str, *, needs: tuple[str, ...] = ()) -> Link:
  """Whether the store at this address can be read and written."""
  what = "store" if is_folder(uri) else "bucket"
  return Link(what, functools.partial(_look, what, uri), needs)


def asks_google(uri: str) -> bool:
  """Whether somebody must be logged in to Google Cloud to reach the store."""
  emulated = os.environ.get("STORAGE_EMULATOR_HOST")
  return is_bucket(uri) and not emulated


def forget_log_in() -> None:
  """Lets stores that are opened from now on use a new log-in."""
  if client := sys.modules.get("keras_remote.storage.client"):
    client.forget_log_in()


def _look(what: str, uri: str) -> Check:
  begun = clock.monotonic()
  store = open_store(uri)
  key, data = f"{_TRIALS}{secrets.token_hex(8)}", secrets.token_bytes(8)
  store.create(key, data)
  same = store.read(key) == data
  if not same:
    sentence = f"{uri} gives back other bytes than were written"
    return Check(what, False, sentence, error=errors.StoreError(sentence))
  try:
    store.delete(key)
  except errors.StoreAccessError as error:
    sentence = f"written and read, but old jobs cannot be removed: {error}"
    return Check(what, None, sentence)
  took = clock.monotonic() - begun
  sentence = f"{uri}: written, read and removed in {1000 * took:.0f} ms"
  return Check(what, True, sentence)
