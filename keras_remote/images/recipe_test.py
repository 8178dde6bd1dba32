import base64
import string
from typing import Any

from absl.testing import absltest
from hypothesis import given
from hypothesis import strategies as st

from keras_remote.images import recipe as recipes
from keras_remote.images.recipe import Recipe, image_tag
from keras_remote.images.requirements import Requirements

_LINES = st.lists(st.text(string.ascii_lowercase + " ,=<>[]\n\"'")).map(tuple)
_REQUIREMENTS = st.builds(Requirements, _LINES, _LINES)
_INPUTS = st.tuples(st.text(), st.text(), _REQUIREMENTS, st.text())
_IMAGE = "us-docker.pkg.dev/p/r/job"


class TagTest(absltest.TestCase):
  @given(_INPUTS, _INPUTS)
  def test_equal_content_alone_has_equal_tags(
    self, one: Any, other: Any
  ) -> None:
    """A tag says what is in an image, and nothing else."""
    self.assertEqual(image_tag(*one) == image_tag(*other), one == other)
    self.assertEqual(image_tag(*one), image_tag(*one))

  @given(_INPUTS)
  def test_it_is_a_tag(self, inputs: Any) -> None:
    """It fits into a registry, and into Cloud Build's own tags."""
    self.assertRegex(image_tag(*inputs), "^[0-9a-f]{64}$")
    self.assertRegex(Recipe(*inputs).stack_tag, "^stack-[0-9a-f]{64}$")

  @given(_INPUTS, _LINES)
  def test_the_stack_is_the_same_whatever_else_is_wanted(
    self, inputs: Any, rest: tuple[str, ...]
  ) -> None:
    """What a changed requirement reuses."""
    base, category, requirements, dockerfile = inputs
    changed = Requirements(requirements.stack, rest)
    self.assertEqual(
      Recipe(base, category, changed, dockerfile).stack_tag,
      Recipe(*inputs).stack_tag,
    )

  def test_it_stays(self) -> None:
    """A new version of keras_remote finds the images of the last one."""
    requirements = Requirements(("jax[tpu]==0.10",), ("six",))
    self.assertEqual(
      image_tag("python:3.11-slim", "tpu", requirements, "FROM x"),
      "8e63a0b7639ec457a8dc2ace0b7fae51813ba9f962e292664a938c108db8d5c1",
    )


class StepsTest(absltest.TestCase):
  def steps(self, *rest: str) -> list[dict[str, Any]]:
    requirements = Requirements(("jax==1", "keras==3"), rest)
    recipe = Recipe("python:3.11-slim", "cpu", requirements, "FROM $x\n")
    found = recipes.build_request(recipe, _IMAGE, None)["steps"]
    for step in found:
      step["env"] = dict(each.split("=", 1) for each in step["env"])
    return found

  def test_the_second_is_built_on_the_first(self) -> None:
    """The base carries the stack, and that all else."""
    stack, image = self.steps("six")
    self.assertEqual(stack["env"]["BASE"], "python:3.11-slim")
    self.assertStartsWith(stack["env"]["IMAGE"], f"{_IMAGE}:stack-")
    self.assertEqual(image["env"]["BASE"], stack["env"]["IMAGE"])

  def test_all_requirements_are_resolved_together(self) -> None:
    """The second step sees the stack's pins too."""
    stack, image = self.steps("six")
    self.assertEqual(_decoded(stack, "REQUIREMENTS"), "jax==1\nkeras==3\n")
    self.assertEqual(_decoded(image, "REQUIREMENTS"), "jax==1\nkeras==3\nsix\n")

  def test_cloud_build_replaces_nothing(self) -> None:
    """No variable has a $, also where the Dockerfile does."""
    for step in self.steps("six ; python_version > '$3'"):
      self.assertNotIn("$", "".join(step["env"].values()))
      self.assertEqual(_decoded(step, "DOCKERFILE"), "FROM $x\n")

  def test_files(self) -> None:
    """Dockerfile.runner is found, and takes what the steps give."""
    text = recipes.runner_dockerfile()
    self.assertIn("ARG BASE\nFROM ${BASE}\n", text)
    self.assertIn("COPY requirements.txt ", text)


def _decoded(step: dict[str, Any], name: str) -> str:
  return base64.b64decode(step["env"][name]).decode()


if __name__ == "__main__":
  absltest.main()
