"""Whose an environment is, and what it is made of."""

import dataclasses

from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote import errors
from keras_remote.job import environments, layout, signing, wire
from keras_remote.job.environments import Recipe
from keras_remote.job.spec import Image, JobSpec
from tests.fakes.specs import job_spec

_KEY = bytes(32)
_ARCHIVE = layout.digest(b"archive")


def _spec(
  *lines: str, who: str = "ada@home", base: str = "python:3", on: str = "cpu"
) -> JobSpec:
  made = job_spec(accelerator=on)
  origin = dataclasses.replace(made.origin, who=who)
  return dataclasses.replace(made, origin=origin, image=Image(base, lines))


def _recipe(spec: JobSpec) -> Recipe:
  found = environments.recipe(spec, _KEY)
  assert found
  return found


class RecipeTest(parameterized.TestCase):
  def test_nothing_to_install(self) -> None:
    """There is no recipe, and no key."""
    self.assertIsNone(environments.recipe(_spec(), _KEY))

  def test_the_same(self) -> None:
    """Machine, patch of Python and time of a job are of no matter."""
    one, other = _spec("a"), _spec("a", who="ada@work")
    environment = dataclasses.replace(other.environment, python="3.11.99")
    other = dataclasses.replace(other, environment=environment)
    self.assertEqual(_recipe(one), _recipe(other))
    self.assertEqual(_recipe(one).python, "3.11")

  @parameterized.parameters(
    (_spec("a", "b"),), (_spec("a", base="python:4"),), (_spec("a", on="l4"),)
  )
  def test_another_content(self, spec: JobSpec) -> None:
    """It has another digest, so another address and key."""
    one, other = _recipe(_spec("a")), _recipe(spec)
    self.assertNotEqual(environments.digest(one), environments.digest(other))
    self.assertNotEqual(one.key, other.key)

  def test_another_owner(self) -> None:
    """The content is the same; address and key are not, nor is it readable."""
    ada, bob = _recipe(_spec("a")), _recipe(_spec("a", who="bob@home"))
    self.assertEqual(environments.digest(ada), environments.digest(bob))
    self.assertNotEqual(ada.key, bob.key)
    addresses = {environments.address(each, "x86_64") for each in (ada, bob)}
    self.assertLen(addresses, 2)
    self.assertNotIn("ada", "".join(addresses))

  def test_another_machine(self) -> None:
    """What was compiled for one is none for the other."""
    recipe = _recipe(_spec("a"))
    self.assertNotEqual(
      environments.address(recipe, "x86_64"),
      environments.address(recipe, "aarch64"),
    )

  def test_no_key_of_a_job(self) -> None:
    """Who has it cannot sign endings, nor the other way round."""
    spec = _spec("a")
    job_key = signing.job_key(_KEY, spec.job_id)
    self.assertNotEqual(bytes.fromhex(_recipe(spec).key), job_key)

  @given(st.builds(Recipe, requirements=st.lists(st.text()).map(tuple)))
  def test_any(self, recipe: Recipe) -> None:
    """A first process reads what was written for it."""
    data = wire.encode(recipe)
    self.assertEqual(wire.decode(Recipe, data, "recipe"), recipe)


class SignatureTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.recipe = _recipe(_spec("a"))
    made = environments.sign(self.recipe, "x86_64", _ARCHIVE)
    self.signature = made.encode()
    self.assertLen(self.signature, environments.SIGNATURE_BYTES)

  def test_what_was_signed(self) -> None:
    """It passes."""
    environments.verify(self.recipe, "x86_64", _ARCHIVE, self.signature)

  @parameterized.parameters(b"", b"0" * 64, b"\xff" * 64)
  def test_any_other(self, signature: bytes) -> None:
    """It is refused."""
    with self.assertRaisesRegex(errors.IntegrityError, "ada"):
      environments.verify(self.recipe, "x86_64", _ARCHIVE, signature)

  def test_for_another(self) -> None:
    """Neither another machine's, archive's nor owner's passes."""
    theirs = _recipe(_spec("a", who="bob@home"))
    for recipe, machine, archive in (
      (theirs, "x86_64", _ARCHIVE),
      (self.recipe, "aarch64", _ARCHIVE),
      (self.recipe, "x86_64", layout.digest(b"another")),
    ):
      with self.assertRaises(errors.IntegrityError):
        environments.verify(recipe, machine, archive, self.signature)


if __name__ == "__main__":
  absltest.main()
