"""Trains a digit classifier on the eight chips of a TPU slice.

    python examples/digits.py

`train` runs in other processes. What it prints shows up here while it runs,
and what it returns comes back as the value of the call.
"""

import sys
from typing import Any

import keras_remote


# backend="local": this machine stands in, one CPU device for each chip.
@keras_remote.run(accelerator="v5e-8", backend="local")
def train(epochs: int = 12) -> dict[str, Any]:
  """The accuracy on digits that it never saw, and the devices it had."""
  import jax
  import keras
  from sklearn.datasets import load_digits
  from sklearn.model_selection import train_test_split

  keras.utils.set_random_seed(0)
  digits: Any = load_digits()
  # Sizes that 64 divides: every device gets an eighth of every batch.
  x_train, x_test, y_train, y_test = train_test_split(
    digits.data / 16,
    digits.target,
    train_size=1280,
    test_size=512,
    random_state=0,
  )

  keras.distribution.set_distribution(keras.distribution.DataParallel())
  model = keras.Sequential(
    [
      keras.layers.Dense(256, activation="relu"),
      keras.layers.Dense(128, activation="relu"),
      keras.layers.Dense(10, activation="softmax"),
    ]
  )
  model.compile(
    optimizer=keras.optimizers.Adam(3e-3),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
  )
  model.fit(x_train, y_train, batch_size=64, epochs=epochs, verbose=2)
  _, accuracy = model.evaluate(x_test, y_test, batch_size=64, verbose=0)
  return {"accuracy": accuracy, "devices": jax.device_count()}


if __name__ == "__main__":
  found = train()
  print(f"accuracy {found['accuracy']:.3f} on {found['devices']} devices")
  sys.exit(not (found["accuracy"] > 0.95 and found["devices"] == 8))
