"""`keras-remote config unset`: an option out of a profile."""

import click

from keras_remote.cli import parameters
from keras_remote.cli.output import Output, prints


@click.command(short_help="Take an option out of a profile.")
@parameters.option_argument
@parameters.profile_option
@prints
def command(out: Output, name: str, profile: str | None) -> None:
  """Takes an option out of a profile, by default the active one."""
  from keras_remote.core import settings

  was_set = settings.unset_value(profile, name)
  profile = profile or settings.profiles().active
  said = "no longer" if was_set else "not"
  out.show(
    {"profile": profile, "option": name, "was_set": was_set},
    f"{name} is {said} set in profile {profile!r}",
  )
