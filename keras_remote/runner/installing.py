"""The second process before it is the worker: it installs what that needs."""

import json
import os
import site
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from keras_remote import errors
from keras_remote.constants import MIB
from keras_remote.job import wire
from keras_remote.job.environments import Recipe
from keras_remote.runner import environment, kept

_MOST_SHOWN = 10


@dataclass(frozen=True)
class Told:
  """What the first process hears before anything else.

  Attributes:
    site: where the packages are; "" where not even the store can be reached.
    failed: why the environment is not there; "" where it is.
    fresh: it was installed here and now.
    seconds: that this took.
    spoiled: of what the store has of it nothing could be used.
  """

  site: str
  failed: str = ""
  fresh: bool = False
  seconds: float = 0.0
  spoiled: bool = False


def main(worker: str) -> NoReturn:
  """Installs, tells the first process, and becomes the worker.

  Args:
    worker: the program of the worker.
  """
  *pipes, recipe_file, store, place = sys.argv[1:]
  folder, answers = Path(place), int(pipes[-1])
  try:
    recipe = read_recipe(recipe_file)
    told = _made(recipe, store, folder)
  except (errors.KerasRemoteError, OSError) as error:
    say(f"the environment could not be made: {error}")
    told = Told(_site(folder), failed=str(error))
  sys.stdout.flush()
  _tell(answers, told)
  if told.failed:
    sys.exit(1)
  for fd in pipes[1:]:
    os.set_inheritable(int(fd), True)
  python = str(environment.python(folder))
  environ = environment.with_drivers(os.environ)
  os.execve(python, [python, "-P", "-c", worker, *pipes], environ)


def read_recipe(file: str) -> Recipe:
  """What is to be installed."""
  return wire.decode(Recipe, Path(file).read_bytes(), "the job's requirements")


def say(text: str) -> None:
  """Says something of ours in the job's log."""
  sys.stdout.write(f"[keras_remote: {text}]\n")
  sys.stdout.flush()


def _made(recipe: Recipe, store: str, folder: Path) -> Told:
  began = time.monotonic()
  spoiled = False
  try:
    size = _fetched(recipe, store, folder)
    say(
      f"its environment is an earlier job's: {size / MIB:.0f} MiB, unpacked in "
      f"{time.monotonic() - began:.1f} s"
    )
    return Told(_site(folder))
  except errors.ObjectNotFoundError:
    pass
  except errors.IntegrityError as error:
    spoiled = True
    say(f"{error}: it is installed anew")
  except errors.StoreError as error:
    say(f"{error}: its environment is installed anew")
  say(f"installing {_listed(recipe.requirements)}")
  environment.install(recipe, folder)
  took = time.monotonic() - began
  say(f"installed in {took:.1f} s")
  return Told(_site(folder), fresh=True, seconds=took, spoiled=spoiled)


def _fetched(recipe: Recipe, store: str, folder: Path) -> int:
  """The bytes of an earlier job's environment, which is the folder now."""
  try:
    return kept.fetch(store, recipe, folder)
  except (errors.ObjectNotFoundError, errors.IntegrityError):
    raise
  except errors.StoreError:
    # Such as where one logs in by a file: that takes the client.
    client = folder.with_name("client")
    environment.install_client(recipe, client)
    site.addsitedir(_site(client))
    return kept.fetch(store, recipe, folder, client=True)


def _listed(lines: Sequence[str]) -> str:
  shown = ", ".join(lines[:_MOST_SHOWN])
  more = len(lines) - _MOST_SHOWN
  return f"{shown} and {more} more" if more > 0 else shown


def _site(folder: Path) -> str:
  found = environment.packages(folder)
  return str(found) if found else ""


def _tell(fd: int, told: Told) -> None:
  line = json.dumps(asdict(told)).encode() + b"\n"
  while line:
    line = line[os.write(fd, line) :]
