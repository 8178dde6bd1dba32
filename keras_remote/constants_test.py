"""What says how this package is installed."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from absl.testing import absltest

from keras_remote import constants

_ROOT = str(Path(constants.__file__).parents[1])
_TELL = "from keras_remote import constants; print(constants.install('gcp'))"


class InstallTest(absltest.TestCase):
  def test_it_is_installed_from_a_clone(self) -> None:
    """The line can be typed, with extras and without."""
    for extras, what in {"cli,gcp": f"{_ROOT}[cli,gcp]", "": _ROOT}.items():
      line = f"pip install {shlex.quote(what)}"
      self.assertEqual(constants.install(extras), line)

  def test_it_is_not_installed(self) -> None:
    """No index is named: another project has this name there."""
    # Without site-packages.
    ran = subprocess.run(
      [sys.executable, "-S", "-c", _TELL],
      env={**os.environ, "PYTHONPATH": _ROOT},
      capture_output=True,
      text=True,
    )
    self.assertEqual(
      ran.stdout, "pip install 'path/to/the/clone[gcp]'\n", ran.stderr
    )


if __name__ == "__main__":
  absltest.main()
