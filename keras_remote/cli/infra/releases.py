"""The released manifest of LeaderWorkerSets: all that installs them."""

from pathlib import Path

import requests
import yaml

from keras_remote import errors
from keras_remote.backend.k8s.objects import SETS, Object

# What the tests of this version have run with.
VERSION = "0.8.0"
_PAGE = "https://github.com/kubernetes-sigs/lws/releases/download"
# Seconds to connect, and between two pieces of an answer.
_TIMEOUT = (10, 60)
_DEFINES = f"{SETS.plural}.{SETS.api_group}"
# Of v0.8.0 it takes a second in place of four.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def address(version: str = VERSION) -> str:
  """Where its project has the manifest of a version."""
  return f"{_PAGE}/v{version.removeprefix('v')}/manifests.yaml"


def is_released(source: str) -> bool:
  """Whether it is the manifest of a version, of the project's own page."""
  return source.startswith(f"{_PAGE}/")


def manifest(source: str | None = None) -> list[Object]:
  """The objects of the manifest.

  Args:
    source: a file, or a URL; None for the project's own page.

  Raises:
    ConfigError: it cannot be had, or is another one.
  """
  source = source or address()
  text = _fetched(source) if "://" in source else _read(source)
  try:
    found = [each for each in yaml.load_all(text, _LOADER) if each]
  except yaml.YAMLError as error:
    raise errors.ConfigError(f"{source} is no YAML: {error}") from error
  for each in found:
    if not _is_object(each):
      raise errors.ConfigError(
        f"{source} is no manifest: not all of it are objects of Kubernetes"
      )
  if _DEFINES not in {each["metadata"]["name"] for each in found}:
    raise errors.ConfigError(
      f"{source} is no manifest of LeaderWorkerSets: nothing in it defines "
      f"{_DEFINES}"
    )
  return found


def _fetched(url: str) -> str:
  try:
    response = requests.get(url, timeout=_TIMEOUT)
    response.raise_for_status()
  except (requests.RequestException, ValueError) as error:
    raise errors.ConfigError(
      f"the manifest of LeaderWorkerSets cannot be fetched ({error}): fetch "
      f"{url} where that works, and name the file"
    ) from error
  return response.text


def _read(path: str) -> str:
  try:
    return Path(path).expanduser().read_text(encoding="utf-8")
  except (OSError, UnicodeDecodeError) as error:
    why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
    raise errors.ConfigError(
      f"the manifest of LeaderWorkerSets {path} cannot be read: {why}"
    ) from error


def _is_object(found: object) -> bool:
  if not isinstance(found, dict):
    return False
  metadata = found.get("metadata")
  named = isinstance(metadata, dict) and isinstance(metadata.get("name"), str)
  return named and all(
    isinstance(found.get(field), str) for field in ("apiVersion", "kind")
  )
