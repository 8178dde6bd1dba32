"""A group of commands that are imported when somebody asks for them."""

import importlib
from collections.abc import Sequence
from typing import Any

import click


class LazyGroup(click.Group):
  """A group whose commands are modules of a package.

  Each module has its command as `command`.
  """

  def __init__(
    self, *args: Any, package: str, names: Sequence[str], **kwargs: Any
  ) -> None:
    super().__init__(*args, **kwargs)
    self._package = package
    self._names = list(names)

  def list_commands(self, ctx: click.Context) -> list[str]:
    return self._names

  def get_command(
    self, ctx: click.Context, cmd_name: str
  ) -> click.Command | None:
    if cmd_name not in self._names:
      return None
    module = importlib.import_module(f"{self._package}.{cmd_name}")
    command: click.Command = module.command
    return command

  def resolve_command(
    self, ctx: click.Context, args: list[str]
  ) -> tuple[str | None, click.Command | None, list[str]]:
    """The command that `args` begin with; a wrong name says the nearest."""
    name = args[0] if args else ""
    if name in self._names or name.startswith("-"):
      return super().resolve_command(ctx, args)
    from keras_remote.core.options import nearest

    hint = nearest(name, self._names)
    raise click.UsageError(f"no command is called {name!r}: {hint}", ctx)
