"""`keras-remote completion`: how a shell learns to complete."""

import click

from keras_remote.cli.output import Output, prints

_LINES = {
  "bash": 'eval "$(_KERAS_REMOTE_COMPLETE=bash_source keras-remote)"',
  "zsh": 'eval "$(_KERAS_REMOTE_COMPLETE=zsh_source keras-remote)"',
  "fish": "_KERAS_REMOTE_COMPLETE=fish_source keras-remote | source",
}
_FILES = {
  "bash": "~/.bashrc",
  "zsh": "~/.zshrc",
  "fish": "~/.config/fish/completions/keras-remote.fish",
}


@click.command(short_help="Print the line that makes a shell complete.")
@click.argument("shell", type=click.Choice(list(_LINES)))
@prints
def command(out: Output, shell: str) -> None:
  """Prints the line to add to the shell's start-up file.

  \b
    keras-remote completion bash >> ~/.bashrc
    keras-remote completion zsh >> ~/.zshrc
    keras-remote completion fish > ~/.config/fish/completions/keras-remote.fish
  """
  line = _LINES[shell]
  out.show({"shell": shell, "file": _FILES[shell], "line": line}, line)
