import subprocess
import sys
from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote.runner import devices


class _JaxRuntimeError(RuntimeError):
  """Stands for JAX's own class, which is known by its module."""


_JaxRuntimeError.__module__ = "jax.errors"

# As jax 0.10 said them on two hosts, one of which had gone.
_ECHOES = (
  "UNKNOWN: Gloo AllGather failed: [external/gloo/gloo/transport/tcp/pair.cc:"
  "547] Connection closed by peer [127.0.0.1]:49891",
  "Connection closed",
  "DEADLINE_EXCEEDED: Barrier timed out. Id: [Init]",
)


class JoinTest(absltest.TestCase):
  def test_a_group_that_does_not_form(self) -> None:
    """It is given up after the time-out, and not JAX's own of 300 s."""
    script = (
      "import socket\n"
      "from keras_remote.runner import devices\n"
      # Somebody listens there, and does not answer.
      "listener = socket.create_server(('127.0.0.1', 0))\n"
      "port = listener.getsockname()[1]\n"
      "devices.join_group(f'127.0.0.1:{port}', 1, 2, 1.5)\n"
    )
    done = subprocess.run(
      [sys.executable, "-c", script],
      cwd=Path(devices.__file__).parents[2],
      capture_output=True,
      text=True,
      timeout=60,
    )
    self.assertNotEqual(done.returncode, 0)
    self.assertIn("DEADLINE_EXCEEDED", done.stderr)


class EchoTest(parameterized.TestCase):
  @parameterized.parameters(*_ECHOES)
  def test_a_host_that_is_gone(self, text: str) -> None:
    """What the survivors say is an echo."""
    self.assertTrue(devices.is_echo(_JaxRuntimeError(text)))

  def test_a_failure_of_its_own(self) -> None:
    """JAX's other errors are causes."""
    text = "RESOURCE_EXHAUSTED: Out of memory allocating 140737488355328 bytes."
    self.assertFalse(devices.is_echo(_JaxRuntimeError(text)))

  @parameterized.parameters(*_ECHOES)
  def test_the_users_exception_with_such_a_text(self, text: str) -> None:
    """An exception that is not JAX's is a cause, whatever it says."""
    self.assertFalse(devices.is_echo(ConnectionError(text)))

  def test_one_that_was_raised_because_of_an_echo(self) -> None:
    """A training loop may wrap it, or fail while it handles it."""
    for cause in (True, False):
      try:
        try:
          raise _JaxRuntimeError("Connection closed")
        except _JaxRuntimeError as error:
          raise ValueError("step failed") from error if cause else None
      except ValueError as error:
        self.assertTrue(devices.is_echo(error))

  def test_a_chain_that_leads_into_itself(self) -> None:
    """It is gone through once."""
    one, two = ValueError(1), ValueError(2)
    one.__cause__, two.__cause__ = two, one
    self.assertFalse(devices.is_echo(one))


if __name__ == "__main__":
  absltest.main()
