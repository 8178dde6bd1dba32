"""`keras-remote config show`: each option, and who says it."""

import contextlib

import click

from keras_remote import errors
from keras_remote.cli.output import Output, Table, prints
from keras_remote.cli.parameters import safe, shown


@click.command(short_help="Show each option and who says it.")
@prints
def command(out: Output) -> None:
  """Shows what each option is here and now, and who says it."""
  from keras_remote.core.places import backend_name
  from keras_remote.core.settings import resolve

  found = resolve({})
  # What happens where nobody says anything.
  meant = {"accelerator": "cpu"}
  # An accelerator that there is not has no hosts, by which one is chosen.
  with contextlib.suppress(errors.ConfigError, errors.AcceleratorError):
    meant["backend"] = backend_name(found.options)
  said = {name: getattr(found.options, name) for name in found.origins}
  values = {
    name: meant.get(name) if value is None else value
    for name, value in said.items()
  }
  rows = [
    (name, shown(values[name]), origin.sentence)
    for name, origin in found.origins.items()
  ]
  content = {
    name: {"value": safe(values[name]), "origin": origin.sentence}
    for name, origin in found.origins.items()
  }
  out.show(content, Table(("OPTION", "VALUE", "FROM"), rows, fold=2))
