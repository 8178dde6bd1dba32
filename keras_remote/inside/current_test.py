import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from absl.testing import absltest

from keras_remote.inside import current
from keras_remote.job.launch import VARIABLES

_JOB = current.CurrentJob(
  id="train-20260102-030405-abc234",
  attempt=2,
  host=1,
  hosts=4,
  output_dir=Path("/out put/ü"),
  slices=2,
)


class CurrentTest(absltest.TestCase):
  def test_outside_a_job(self) -> None:
    """There is none, also where the variable is empty."""
    self.assertIsNone(current.current_job())
    with pytest.MonkeyPatch.context() as patch:
      patch.setenv("KERAS_REMOTE_JOB", "")
      self.assertIsNone(current.current_job())

  def test_in_a_job(self) -> None:
    """What the first process says is what user code hears."""
    with pytest.MonkeyPatch.context() as patch:
      for name, value in current.environ(_JOB).items():
        patch.setenv(name, value)
      self.assertEqual(current.current_job(), _JOB)

  def test_its_slice(self) -> None:
    """The hosts of one come after those of another."""
    hosts = [dataclasses.replace(_JOB, host=host) for host in range(4)]
    self.assertEqual([host.slice for host in hosts], [0, 0, 1, 1])

  def test_in_a_child_process(self) -> None:
    """A command that the function starts knows the job too."""
    script = (
      "from keras_remote.inside.current import current_job as job;"
      "print(ascii(job()))"
    )
    printed = subprocess.run(
      [sys.executable, "-c", script],
      env={**os.environ, **current.environ(_JOB)},
      cwd=Path(__file__).parent.parent.parent,
      capture_output=True,
      text=True,
      check=True,
    ).stdout
    self.assertEqual(printed.strip(), ascii(_JOB))

  def test_its_variables_are_ours(self) -> None:
    """They are among those that an inner job's worker is not given."""
    self.assertLessEqual(current.environ(_JOB).keys(), VARIABLES)


if __name__ == "__main__":
  absltest.main()
