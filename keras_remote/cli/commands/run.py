"""`keras-remote run`: a command, or a function of a file."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from keras_remote.cli import parameters
from keras_remote.cli.failure import CommandError
from keras_remote.cli.output import Output, prints
from keras_remote.core.options import OptionArguments

_FUNCTION = re.compile(r"(.+\.py):([^\W\d][\w.]*)")
# As other tools name a function.
_MODULE = re.compile(r"([\w.]+):([^\W\d][\w.]*)")


@click.command(
  short_help="Run a command, or a function of a file.",
  context_settings={"allow_interspersed_args": False},
  options_metavar="[OPTIONS]",
)
@parameters.option_flags()
@click.option("-d", "--detach", is_flag=True, help="Print the id; do not wait.")
@click.argument(
  "entry",
  nargs=-1,
  required=True,
  metavar="-- COMMAND… | FILE:FUNCTION [NAME=VALUE]…",
  shell_complete=parameters.paths("file"),
)
@prints
def command(
  out: Output, entry: tuple[str, ...], detach: bool, **texts: Any
) -> None:
  """Runs a command in the project, or a function of a file.

  \b
    keras-remote run --accelerator v5e-8 -- python train.py --lr 1e-3
    keras-remote run --accelerator v5e-8 train.py:train lr=1e-3

  Shows what it prints. A command's exit code is this one's; a function's
  value is printed. NAME=VALUE is read as the parameter's annotation says;
  the values of a list have commas between.
  """
  from keras_remote.cli.watching import watch
  from keras_remote.core.follow import terminable

  options = parameters.parsed(texts)
  matched = _FUNCTION.fullmatch(entry[0])
  with terminable():
    with out.live():
      if matched:
        file, name = matched.groups()
        job = _submit_function(Path(file), name, entry[1:], options)
      else:
        job = _submit_command(entry, options)
    watch(out, job, detach=detach)


def _submit_command(argv: Sequence[str], options: OptionArguments) -> Any:
  from keras_remote.core.command import submit_command

  script = Path(argv[0])
  if script.suffix == ".py" and script.is_file():
    raise CommandError(
      f"{script} alone is no command: `-- python {script}`, or "
      f"`{script}:FUNCTION`",
    )
  module = _MODULE.fullmatch(argv[0])
  if module and Path(f"{(file := module[1].replace('.', '/'))}.py").is_file():
    raise CommandError(f"{argv[0]} is no command: write {file}.py:{module[2]}")
  return submit_command(argv, options)


def _submit_function(
  file: Path, name: str, texts: Sequence[str], options: OptionArguments
) -> Any:
  from keras_remote.cli.arguments import bind
  from keras_remote.cli.entry import load_function
  from keras_remote.core.core import run

  function = run(**options)(load_function(file, name))
  bound = bind(function, texts)
  return function.submit(*bound.args, **bound.kwargs)
