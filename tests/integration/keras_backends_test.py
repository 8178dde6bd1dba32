"""Keras on each of its backends, where they are installed."""

import importlib.util

from absl.testing import absltest, parameterized

from tests.integration.harness import ProjectTest

_FIT = """
import keras_remote

@keras_remote.run
def fit():
  import keras
  import numpy as np

  inputs = np.linspace(-1, 1, 64).reshape(-1, 1)
  model = keras.Sequential([keras.layers.Dense(1)])
  model.compile("sgd", "mse")
  losses = model.fit(inputs, 3 * inputs, epochs=5, verbose=0).history["loss"]
  return keras.backend.backend(), losses[-1] < losses[0]

print(*fit())
"""


class KerasBackendTest(ProjectTest, parameterized.TestCase):
  @parameterized.parameters("jax", "torch", "tensorflow")
  def test_fit(self, backend: str) -> None:
    """A model trains in a job on the backend that is chosen here."""
    if importlib.util.find_spec(backend) is None:
      self.skipTest(f"{backend} is not installed")
    # TensorFlow has more to say.
    shown = self.output(_FIT, KERAS_BACKEND=backend)
    self.assertEqual(shown.splitlines()[-1], f"{backend} True")


if __name__ == "__main__":
  absltest.main()
