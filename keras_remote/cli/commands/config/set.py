"""`keras-remote config set`: an option of a profile."""

import click

from keras_remote.cli import parameters
from keras_remote.cli.output import Output, prints


@click.command(short_help="Write an option into a profile.")
@parameters.option_argument
@click.argument("value")
@parameters.profile_option
@prints
def command(out: Output, name: str, value: str, profile: str | None) -> None:
  """Writes an option into a profile, by default the active one.

  The values of a list have commas between, as have the NAME=VALUE of env. A
  profile that is not there yet is made.
  """
  from keras_remote.core import settings

  settings.set_value(profile, name, value)
  profile = profile or settings.profiles().active
  out.show(
    {"profile": profile, "option": name},
    f"{name} is set in profile {profile!r}",
  )
