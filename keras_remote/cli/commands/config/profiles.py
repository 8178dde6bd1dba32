"""`keras-remote config profiles`: the profiles of config.toml."""

import click

from keras_remote.cli.output import Output, Table, prints
from keras_remote.cli.parameters import safe, shown


@click.command(short_help="List the profiles; * marks the active one.")
@prints
def command(out: Output) -> None:
  """Lists the profiles with their options; * marks the active one."""
  from keras_remote.core import settings

  found = settings.profiles()
  rows = [
    (
      "*" if name == found.active else "",
      name,
      ", ".join(f"{key}={shown(value)}" for key, value in table.items()),
    )
    for name, table in found.tables.items()
  ]
  content = {
    name: {
      "active": name == found.active,
      "options": {k: safe(v) for k, v in table.items()},
    }
    for name, table in found.tables.items()
  }
  out.show(content, Table(("", "PROFILE", "OPTIONS"), rows, fold=2))
