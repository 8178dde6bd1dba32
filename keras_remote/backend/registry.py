"""Which backends there are, and which one a call uses."""

from collections.abc import Callable

from keras_remote import errors
from keras_remote.backend.base import Backend
from keras_remote.home import Home

# With no cluster configured a call goes the whole way on this machine.
DEFAULT = "local"


def _open_local(home: Home) -> Backend:
  from keras_remote.backend.local import LocalBackend

  return LocalBackend(home)


_BACKENDS: dict[str, Callable[[Home], Backend]] = {"local": _open_local}


def names() -> tuple[str, ...]:
  """What `backend=` may say."""
  return tuple(_BACKENDS)


def choose(name: str | None) -> str:
  """The name of the backend that a call uses.

  Raises:
    ConfigError: there is none of this name.
  """
  if name is None:
    return DEFAULT
  if name not in _BACKENDS:
    import difflib  # Only for mistakes.

    near = difflib.get_close_matches(name, _BACKENDS, 1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise errors.ConfigError(
      f"unknown backend '{name}': there is {', '.join(_BACKENDS)}{hint}"
    )
  return name


def open_backend(name: str, home: Home) -> Backend:
  """The backend of this name.

  Raises:
    ConfigError: there is none of this name.
  """
  return _BACKENDS[choose(name)](home)
