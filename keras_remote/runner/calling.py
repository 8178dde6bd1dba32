"""Calls what the job is about, in the worker, and says how it went."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from keras_remote import errors
from keras_remote.inside import preemption
from keras_remote.job import redact, surroundings
from keras_remote.job.outcome import Cause, signal_name
from keras_remote.pickling import culprit, exceptions, payload, result
from keras_remote.runner import devices, forked, script


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
    return _command(order["argv"], paths, runner)
  sys.path[:0] = paths
  preemption.exit_on_sigterm()
  return _call(order)


def _command(argv: list[str], paths: list[str], runner: str) -> dict[str, Any]:
  environ = surroundings.command_environ(paths, os.environ)
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
    with open(order["payload"], "rb") as stream:
      call = payload.load(stream)
    script.settle(call, order["root"], Path(order["context"]))
    loaded = True
    value = forked.once(call.call)
    with path.open("wb") as stream:
      try:
        saved = result.save_result(value, stream)
      except errors.PackagingError as error:
        return _unsendable(error, teller)
  except SystemExit as error:
    if error.code is None or error.code == 0:
      with path.open("wb") as stream:
        saved = result.save_result(None, stream)
    else:
      return _failed(error, path, teller, Cause.EXIT)
  except BaseException as error:
    cause = Cause.EXCEPTION if loaded else Cause.SETUP
    return _failed(error, path, teller, cause)
  return {
    "cause": Cause.RETURNED,
    "message": "",
    "result": saved.digest,
    "result_size": saved.size,
  }


def _teller(order: Mapping[str, Any]) -> _Teller:
  values = {os.environ.get(name, "") for name in order["secrets"]}
  # Texts show values as they are, or as Python writes them.
  written = {repr(value)[1:-1] for value in values}
  return _Teller(order["context"], order["root"], frozenset(values | written))


def _unsendable(
  error: errors.PackagingError, teller: _Teller
) -> dict[str, Any]:
  return {
    "cause": Cause.EXCEPTION,
    "message": exceptions.message(error, teller.tell),
    "exception_type": culprit.type_name(type(error)),
  }


def _failed(
  error: BaseException, path: Path, teller: _Teller, cause: Cause
) -> dict[str, Any]:
  fields: dict[str, Any] = {
    "cause": cause,
    "message": exceptions.message(error, teller.tell),
    "exception_type": culprit.type_name(type(error)),
    "traceback": exceptions.traceback_text(error, teller.tell),
    "collective": devices.is_echo(error),
    "frames": [
      asdict(replace(frame, file=teller.tell(frame.file)))
      for frame in exceptions.frames(error, teller.secrets)
    ],
  }
  if isinstance(error, SystemExit):
    fields["exit_code"] = int(error.code) if isinstance(error.code, int) else 1
  with contextlib.suppress(OSError):
    with path.open("wb") as stream:
      saved = result.save_exception(error, stream, teller.tell)
    # Only what was written whole has a name.
    fields |= {"result": saved.digest, "result_size": saved.size}
  return fields
