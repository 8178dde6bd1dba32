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


class SourcesTest(parameterized.TestCase):
  def sources(
    self, variables: dict[str, str], *lines: str, key: bytes = _KEY
  ) -> str:
    return environments.sources(environments.places(variables, lines), key)

  def test_the_usual_ones(self) -> None:
    """They have no digest, whatever else the job is given."""
    for variables in ({"HF_TOKEN": "x"}, {"UV_HTTP_TIMEOUT": "9"}):
      self.assertEqual(self.sources(variables, "a", "b"), "")

  @parameterized.parameters(
    ({"UV_INDEX": "https://a/"}, {"UV_INDEX": "https://b/"}, "x"),
    ({"UV_INDEX": "https://a/"}, {"UV_DEFAULT_INDEX": "https://a/"}, "x"),
    ({"UV_INDEX": "https://a/"}, {}, "x"),
    ({"PIP_INDEX_URL": "https://a/"}, {}, "x"),
    ({"HOST": "a"}, {"HOST": "b"}, "x @ https://${HOST}/x.whl"),
  )
  def test_others(
    self, one: dict[str, str], other: dict[str, str], line: str
  ) -> None:
    """Each is told apart, by who has the key; an environment is, too."""
    self.assertNotEqual(self.sources(one, line), self.sources(other, line))
    self.assertNotEqual(
      self.sources(one, line), self.sources(one, line, key=b"another")
    )
    digests = set()
    for variables in (one, other):
      spec = _spec(line)
      image = dataclasses.replace(
        spec.image, sources=self.sources(variables, line)
      )
      recipe = _recipe(dataclasses.replace(spec, image=image))
      digests.add(environments.digest(recipe))
    self.assertLen(digests, 2)

  @parameterized.parameters(
    ({"UV_INDEX": "a=https://u:1@a/ https://b/"}, "x"),
    ({"UV_INDEX": "a=https://a/ https://b/", "UV_INDEX_A_PASSWORD": "1"}, "x"),
    (
      {"UV_INDEX": "a=https://a/ https://b/", "TOKEN": "1"},
      "x @ git+https://${TOKEN}@a/x",
    ),
  )
  def test_another_log_in(self, variables: dict[str, str], line: str) -> None:
    """The same place has the same packages; tokens of an hour change."""
    later = {k: v.replace("1", "2") for k, v in variables.items()}
    self.assertNotEqual(later, variables)
    self.assertEqual(self.sources(variables, line), self.sources(later, line))


if __name__ == "__main__":
  absltest.main()
