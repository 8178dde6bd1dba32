import pickle
from collections.abc import Callable, Iterator
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.core.core import run


def _plain(x: int, y: int = 2) -> int:
  return x + y


def _generator() -> Iterator[int]:
  yield 1


class _Class:
  pass


class DecorationTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ("generator", _generator, "generator.*return a list"),
    ("class", _Class, "is a class"),
    ("staticmethod", staticmethod(_plain), "above @keras_remote.run"),
    ("classmethod", classmethod(_plain), "above @keras_remote.run"),
    ("builtin", max, "wrap it in a function"),
    ("value", 3, "takes a function, not 3$"),
    ("accelerator", "v5e-8", "not 'v5e-8': .* run\\(accelerator='v5e-8'\\)"),
  )
  def test_what_cannot_run_elsewhere_is_refused_at_once(
    self, function: Callable[..., Any], text: str
  ) -> None:
    """The mistake shows where it was made, with its cure."""
    with self.assertRaisesRegex(errors.ConfigError, text):
      run(function)

  @parameterized.parameters(
    lambda: run(acelerator="l4"),  # pyrefly: ignore
    lambda: run(_plain).options(acelerator="l4"),  # pyrefly: ignore
  )
  def test_an_unknown_option_is_refused_at_once(
    self, decorate: Callable[[], object]
  ) -> None:
    """The nearest one is named."""
    with self.assertRaisesRegex(errors.ConfigError, "'accelerator'"):
      decorate()

  def test_a_wrong_argument_list_is_a_type_error_here(self) -> None:
    """It names the function with its parameters."""
    with self.assertRaisesRegex(TypeError, r"_plain\(x: int, y: int = 2\)"):
      run(_plain)(1, 2, 3)  # pyrefly: ignore

  def test_any_parameter_may_be_given_by_name(self) -> None:
    """One that is called `self` too."""

    def method(self: int, x: int) -> int:
      return self + x

    self.assertEqual(run(method).local(self=1, x=2), 3)

  def test_decorating_twice_changes_options_only(self) -> None:
    """The plain function stays the one inside."""
    twice = run(name="b")(run(name="a")(_plain))
    self.assertIs(twice.__wrapped__, _plain)

  def test_it_travels_without_its_options(self) -> None:
    """They may hold secrets, and whoever receives it has no use of them."""
    remote = run(env={"TOKEN": "hush-hush"})(_plain)
    data = pickle.dumps(remote)
    self.assertNotIn(b"hush-hush", data)
    self.assertEqual(pickle.loads(data).local(1), 3)


class LocalTest(absltest.TestCase):
  def test_a_function_is_called_here(self) -> None:
    """No job is made of it."""
    self.assertEqual(run(_plain).local(1), 3)

  def test_an_async_function_is_awaited(self) -> None:
    """The value is the same as that of a job."""

    async def later() -> int:
      return 7

    self.assertEqual(run(later).local(), 7)


if __name__ == "__main__":
  absltest.main()
