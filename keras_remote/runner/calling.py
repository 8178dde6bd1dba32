"""Calls what the job is about, in the worker, and says how it went."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from keras_remote import errors
from keras_remote.inside import preemption
from keras_remote.job import redact, surroundings
from keras_remote.job.outcome import Cause, signal_name
from keras_remote.pickling import culprit, exceptions, payload, result
from keras_remote.pickling.pickler import Saved
from keras_remote.runner import devices, forked, script

T = TypeVar("T")


@dataclass(frozen=True)
class _Teller:
  """Knows what people may read.

  Attributes:
    there: the project's folder in the job.
    here: the folder by which the user knows it.
    secrets: what no text may show.
  """

  there: str
  here: str
  secrets: frozenset[str]

  def tell(self, text: str) -> str:
    """The text with the user's own paths, and without secrets."""
    text = text.replace(f"{self.there}/", f"{self.here}/")
    return redact.hide(text, self.secrets)


def run(order: Mapping[str, Any], runner: str) -> dict[str, Any]:
  """The fields of a host's report, after the call.

  Args:
    order: what the first process sent: where things are, and what to call.
    runner: the archive that keras_remote is imported from.
  """
  os.environ.update(order["environ"])
  root = Path(order["context"])
  os.chdir(root / order["cwd"])
  paths = [str(root / entry) for entry in order["sys_path"]]
  if order["argv"]:
    return _command(order, paths, runner)
  sys.path[:0] = paths
  preemption.exit_on_sigterm()
  return _call(order)


def _command(
  order: Mapping[str, Any], paths: list[str], runner: str
) -> dict[str, Any]:
  """Runs the command; with an accelerator it may join its hosts' JAX group.

  That is for it to say, as a process can only join for itself: by
  `jax.distributed.initialize()`, which needs no arguments.
  """
  argv: list[str] = order["argv"]
  environ = surroundings.command_environ(paths, os.environ)
  if order["coordinator"]:
    environ |= surroundings.group_environ(
      order["coordinator"], order["host"], order["hosts"]
    )
  # Last: where keras_remote is installed, that one is found first.
  environ["PYTHONPATH"] += os.pathsep + runner
  # The command has its own way to end; this process only waits for it. A
  # handler, other than SIG_IGN, is not handed down.
  signal.signal(signal.SIGTERM, lambda *_: None)
  try:
    code = subprocess.call(argv, env=environ)
  except OSError as error:
    return {
      "cause": Cause.EXIT,
      "message": f"cannot run {argv[0]}: {error.strerror}",
      # As shells say it.
      "exit_code": 127 if isinstance(error, FileNotFoundError) else 126,
    }
  if code < 0:
    message = f"{argv[0]} was ended by {signal_name(-code)}"
    return {"cause": Cause.SIGNAL, "message": message, "signal": -code}
  if code:
    message = f"{argv[0]} exited with {code}"
    return {"cause": Cause.EXIT, "message": message, "exit_code": code}
  return {"cause": Cause.RETURNED, "message": "", "exit_code": 0}


def _call(order: Mapping[str, Any]) -> dict[str, Any]:
  path = Path(order["result"])
  # Before the call, which may change the environment.
  teller = _teller(order)
  loaded = False
  try:
    if order["coordinator"]:
      devices.join_group(
        order["coordinator"],
        order["host"],
        order["hosts"],
        order["startup_timeout"],
      )
    if order["distribution"]:
      devices.distribute(order["seed"])
    with open(order["payload"], "rb") as stream:
      call = payload.load(stream)
    script.settle(call, order["root"], Path(order["context"]))
    loaded = True
    value = forked.once(call.call)
    if order["host"]:
      value = None  # Host 0's counts.
    return _returned(value, path, teller)
  except SystemExit as error:
    if error.code is None or error.code == 0:
      return _returned(None, path, teller)
    return _failed(error, path, teller, Cause.EXIT)
  except BaseException as error:
    cause = Cause.EXCEPTION if loaded else Cause.SETUP
    return _failed(error, path, teller, cause)


def _returned(value: object, path: Path, teller: _Teller) -> dict[str, Any]:
  try:
    with path.open("wb") as stream:
      saved = result.save_result(value, stream)
  except errors.PackagingError as error:
    return _unsendable(error, teller)
  except OSError as error:
    # The ending is to have the room.
    path.unlink(missing_ok=True)
    return _unkept(error, path.parent)
  return {
    "cause": Cause.RETURNED,
    "message": "",
    "result": saved.digest,
    "result_size": saved.size,
  }


def _teller(order: Mapping[str, Any]) -> _Teller:
  values = (os.environ.get(name, "") for name in order["secrets"])
  return _Teller(order["context"], order["root"], frozenset(values))


def _unsendable(
  error: errors.PackagingError, teller: _Teller
) -> dict[str, Any]:
  return {
    "cause": Cause.EXCEPTION,
    "message": exceptions.message(error, teller.tell),
    "exception_type": culprit.type_name(type(error)),
  }


def _unkept(error: OSError, folder: Path) -> dict[str, Any]:
  full = error.errno in (errno.ENOSPC, errno.EDQUOT)
  cure = "; make room on that disk, or return less" if full else ""
  return {
    "cause": Cause.SETUP,
    "message": "the function has returned, but its result cannot be kept in "
    f"{folder} ({error.strerror}){cure}",
    "exception_type": culprit.type_name(errors.StoreError),
  }


def _failed(
  error: BaseException, path: Path, teller: _Teller, cause: Cause
) -> dict[str, Any]:
  fields: dict[str, Any] = {
    "cause": cause,
    "message": exceptions.message(error, teller.tell),
    "exception_type": culprit.type_name(type(error)),
    "traceback": exceptions.traceback_text(error, teller.tell),
    "collective": _told(lambda: devices.is_echo(error), False),
    "frames": _told(lambda: _frames(error, teller), []),
  }
  if issubclass(type(error), SystemExit):
    fields["exit_code"] = _told(lambda: _exit_code(error), 1)
  saved = _told(lambda: _saved(error, path, teller), None)
  if saved:
    fields |= {"result": saved.digest, "result_size": saved.size}
  return fields


def _told(tell: Callable[[], T], default: T) -> T:
  """What `tell` gives, unless the user's exception spoils it."""
  try:
    return tell()
  except BaseException:  # Its methods may raise anything.
    return default


def _frames(error: BaseException, teller: _Teller) -> list[dict[str, Any]]:
  return [
    asdict(replace(frame, file=teller.tell(frame.file)))
    for frame in exceptions.frames(error, teller.secrets)
  ]


def _exit_code(error: BaseException) -> int:
  code: object = getattr(error, "code", None)
  if not isinstance(code, int):
    return 1
  # Of a larger one Python makes -1, and the system 255.
  return int(code) if code.bit_length() < 32 else 255


def _saved(error: BaseException, path: Path, teller: _Teller) -> Saved:
  # Only what was written whole has a name.
  with path.open("wb") as stream:
    return result.save_exception(error, stream, teller.tell)
