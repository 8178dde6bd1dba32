"""`keras-remote config use`: the profile that counts."""

import click

from keras_remote.cli import parameters
from keras_remote.cli.output import Output, prints


@click.command(short_help="Make a profile the active one.")
@parameters.profile_argument
@prints
def command(out: Output, profile: str) -> None:
  """Makes a profile the active one."""
  from keras_remote.core import settings

  settings.use_profile(profile)
  out.show({"active": profile}, f"profile {profile!r} is active")
