"""Process 1 of a node: puts the node's own folders in place, and stays.

Its arguments are pairs of paths: what is mounted, and over what.
"""

import signal
import subprocess
import sys


def main() -> None:
  for source, target in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    subprocess.run(("mount", "--bind", source, target), check=True)
  # The kernel then buries orphans itself.
  signal.signal(signal.SIGCHLD, signal.SIG_IGN)
  while True:
    signal.pause()


if __name__ == "__main__":
  main()
