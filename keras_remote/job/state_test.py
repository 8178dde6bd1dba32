from absl.testing import absltest

from keras_remote.job.state import State


class StateTest(absltest.TestCase):
  def test_endings(self) -> None:
    """Five states are endings; in the others something may still change."""
    self.assertEqual(
      {str(state) for state in State if state.ended},
      {"SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT", "LOST"},
    )


if __name__ == "__main__":
  absltest.main()
