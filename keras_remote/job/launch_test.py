import dataclasses

from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote import errors
from keras_remote.job.launch import (
  ALLOCATION_VARIABLE,
  VARIABLES,
  Launch,
  worker_environ,
)

_LAUNCH = Launch(
  store="/store",
  job_id="job",
  spec_digest="0" * 64,
  host=1,
  hosts=4,
  key_file="/secret/key",
  scratch="/scratch",
  allocation="token",
  leader="127.0.0.1",
  last_words="/words",
  by_line=True,
)


class LaunchTest(parameterized.TestCase):
  @given(st.builds(Launch, host=st.integers(0, 99), hosts=st.integers(1, 99)))
  def test_round_trip(self, launch: Launch) -> None:
    """What a backend says is what the first process hears."""
    environ = {"PATH": "/bin", **launch.environ()}
    self.assertEqual(Launch.from_environ(environ), launch)

  @parameterized.parameters(*sorted(_LAUNCH.environ()))
  def test_each_variable_is_needed(self, name: str) -> None:
    """A launch without one of them is refused, and the name told."""
    environ = _LAUNCH.environ()
    del environ[name]
    with self.assertRaisesRegex(errors.ConfigError, name):
      Launch.from_environ(environ)

  def test_the_worker_is_told_nothing_of_it(self) -> None:
    """User code learns of the launch only the allocation, no key."""
    environ = worker_environ({"HF_TOKEN": "x", **_LAUNCH.environ()})
    self.assertEqual(
      environ,
      {"HF_TOKEN": "x", ALLOCATION_VARIABLE: "token", "PYTHONUNBUFFERED": "1"},
    )

  def test_a_job_within_a_job_is_not_taken_for_it(self) -> None:
    """What an outer job told its processes does not reach an inner worker."""
    outer = dict.fromkeys(VARIABLES, "outer")
    kept = worker_environ(outer).keys() & VARIABLES
    self.assertEqual(kept, {ALLOCATION_VARIABLE})

  def test_all_names_are_known(self) -> None:
    """Settings can tell every variable of ours from a misspelt option."""
    self.assertLess(_LAUNCH.environ().keys(), VARIABLES)
    self.assertLen(_LAUNCH.environ(), len(dataclasses.fields(Launch)))


if __name__ == "__main__":
  absltest.main()
