"""Which image a job gets, as a decision about data."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.core import image
from keras_remote.core.options import Options
from keras_remote.images.requirements import Requirements
from keras_remote.job.spec import Image, JobSpec
from keras_remote.progress import Report, Step, silent
from tests.fakes.specs import job_spec

_ALL = Requirements(("keras==3",), ("scipy",))
_PLAN = image.Plan(None, "auto", "python:3", "cpu", _ALL, ("scipy",))
_INSTALLED = Image("python:3", ("keras==3", "scipy"), "cpu", ("scipy",))
_BUILT = Image("built@1", (), "cpu", ("scipy",))


class _Builder:
  """Has the image or not, and notes what it is asked."""

  def __init__(
    self, found: str | None, *, begins: bool = True, fails: bool = False
  ) -> None:
    self._found, self._begins, self._fails = found, begins, fails
    self.asked: list[str] = []

  def find(
    self, base: str, category: str, requirements: Requirements
  ) -> str | None:
    self.asked.append("find")
    if self._fails:
      raise errors.ImageBuildError("nobody may read the registry")
    return self._found

  def start(self, base: str, category: str, requirements: Requirements) -> bool:
    self.asked.append("start")
    return self._begins

  def ensure(
    self, base: str, category: str, requirements: Requirements, report: Report
  ) -> str:
    self.asked.append("ensure")
    return f"built {base} {category} {len(requirements.lines)}"


class ChooseTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ("found", "auto", lambda: _Builder("built@1"), ["find"], _BUILT),
    ("not_yet", "auto", lambda: _Builder(None), ["find", "start"], _INSTALLED),
    ("install", "install", lambda: _Builder("built@1"), [], _INSTALLED),
    (
      "build",
      "build",
      lambda: _Builder(None),
      ["ensure"],
      dataclasses.replace(_BUILT, reference="built python:3 cpu 2"),
    ),
  )
  def test_with_a_builder(
    self,
    mode: str,
    make: Callable[[], _Builder],
    asked: list[str],
    expected: Image,
  ) -> None:
    """Only image="build" waits for an image; auto has it made for later."""
    builder = make()
    wanted = dataclasses.replace(_PLAN, mode=mode)
    self.assertEqual(image.choose(wanted, builder, silent), expected)
    self.assertEqual(builder.asked, asked)

  @parameterized.parameters("auto", "install")
  def test_without_a_builder(self, mode: str) -> None:
    """The job installs."""
    wanted = dataclasses.replace(_PLAN, mode=mode)
    self.assertEqual(image.choose(wanted, None, silent), _INSTALLED)

  def test_a_build_that_nobody_can_make(self) -> None:
    """The error says what works."""
    wanted = dataclasses.replace(_PLAN, mode="build")
    with self.assertRaisesRegex(errors.ConfigError, 'image="install"'):
      image.choose(wanted, None, silent)

  @parameterized.parameters("auto", "build", "install")
  def test_an_image_of_the_users(self, mode: str) -> None:
    """It is taken as it is, and nobody is asked."""
    builder = _Builder("built@1")
    wanted = image.Plan("mine:1", mode, "", "cpu")
    self.assertEqual(image.choose(wanted, builder, silent), Image("mine:1"))
    self.assertEmpty(builder.asked)

  @parameterized.parameters(
    (_Builder(None, begins=False), 'image="build" tries again'),
    (_Builder(None, fails=True), "nobody may read the registry"),
  )
  def test_an_image_that_auto_cannot_have(
    self, builder: _Builder, words: str
  ) -> None:
    """The job installs, and a warning says why."""
    told: list[Step] = []
    found = image.choose(_PLAN, builder, told.append)
    self.assertEqual(found, _INSTALLED)
    (step,) = told
    self.assertTrue(step.warning)
    self.assertIn(words, step.what)


class PlanTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.root = Path(self.create_tempdir().full_path)

  def plan(
    self,
    accelerator: str = "cpu",
    variables: Mapping[str, str] | None = None,
    **options: object,
  ) -> image.Plan:
    made = Options(store="gs://bucket", **options)  # type: ignore[bad-argument-type]
    return image.plan(
      made, parse_accelerator(accelerator), "jax", self.root, variables or {}
    )

  @parameterized.parameters(
    ({"UV_INDEX": "https://u:hunter2@x/"}, "scipy"),
    ({"PIP_INDEX_URL": "https://x/"}, "scipy"),
    ({"HOST": "x"}, "scipy @ https://${HOST}/scipy.whl"),
    ({}, "scipy @ git+https://${TOKEN}@x/scipy"),
  )
  def test_places_that_only_the_job_knows(
    self, variables: dict[str, str], line: str
  ) -> None:
    """No build that would take others of the same names is begun."""
    wanted = self.plan(variables=variables, dependencies=(line,))
    builder, told = _Builder("built@1"), list[Step]()
    found = image.choose(wanted, builder, told.append)
    self.assertIn(line, found.requirements)
    self.assertEmpty(builder.asked)
    self.assertIn("no image is built", told[0].what)
    with self.assertRaisesRegex(
      errors.ConfigError, 'without [A-Z_]+, .*image="install"'
    ) as caught:
      self.plan(variables=variables, dependencies=(line,), image="build")
    self.assertNotIn("hunter2", f"{told}{caught.exception}")
    wanted = self.plan(
      variables=variables, dependencies=(line,), image="install"
    )
    self.assertEmpty(wanted.notes)

  def test_variables_that_change_nothing(self) -> None:
    """An image is built all the same."""
    for variables in ({"HF_TOKEN": "x"}, {"UV_HTTP_TIMEOUT": "60"}):
      self.assertEqual(self.plan(variables=variables).mode, "auto")

  def test_of_the_project(self) -> None:
    """What its requirements.txt says, and what every job has."""
    (self.root / "requirements.txt").write_text("scipy\n./here\n")
    wanted = self.plan("l4")
    assert wanted.requirements
    self.assertEqual(wanted.requirements.rest, ("scipy",))
    self.assertEqual(wanted.dependencies, ("scipy",))
    self.assertEqual(wanted.category, "gpu")
    self.assertRegex(wanted.base, r"^python:3\.\d+-slim$")
    jax = [x for x in wanted.requirements.stack if x.startswith("jax")]
    self.assertRegex(jax[0], r"^jax\[cuda13\]==")
    told: list[Step] = []
    image.choose(wanted, None, told.append)
    self.assertIn("./here", told[0].what)

  def test_of_an_image_of_the_users(self) -> None:
    """Nothing of the project is read."""
    (self.root / "requirements.txt").write_text("this is none")
    wanted = self.plan(container_image="mine:1")
    self.assertEqual(wanted.container_image, "mine:1")
    with self.assertRaisesRegex(errors.ConfigError, "line 1"):
      self.plan()


class AgainTest(parameterized.TestCase):
  def old(self, before: Image) -> JobSpec:
    return dataclasses.replace(job_spec(accelerator="cpu"), image=before)

  def again(
    self,
    before: Image,
    changed: dict[str, object],
    accelerator: str = "cpu",
    **settings: object,
  ) -> Image:
    old = self.old(before)
    options = Options(store="gs://bucket", **{**settings, **changed})  # type: ignore[bad-argument-type]
    category = parse_accelerator(accelerator)
    wanted = image.plan_again(old, changed, options, category, "jax", {})
    return image.again(old, wanted, contains=True, builder=None, report=silent)

  @parameterized.parameters(_INSTALLED, _BUILT, Image("mine:1"))
  def test_as_before(self, before: Image) -> None:
    """The same image, whatever the settings say by now."""
    settings = {"container_image": "other:1", "dependencies": ("numba",)}
    self.assertEqual(self.again(before, {}, **settings), before)

  def test_on_another_category(self) -> None:
    """The same wishes, with what the accelerator needs."""
    found = self.again(_BUILT, {}, "l4", container_image="other:1")
    self.assertIn("scipy", found.requirements)
    self.assertTrue([x for x in found.requirements if "cuda13" in x])
    self.assertEqual(found.category, "gpu")
    self.assertEqual(self.again(Image("mine:1"), {}, "l4"), Image("mine:1"))

  def test_with_another_image(self) -> None:
    """What is asked for counts."""
    found = self.again(_BUILT, {"container_image": "mine:1"})
    self.assertEqual(found, Image("mine:1"))
    found = self.again(Image("mine:1"), {"dependencies": ("numba",)})
    self.assertIn("numba", found.requirements)

  def test_what_ran_here(self) -> None:
    """On a cluster somebody has to say what it imports."""
    with self.assertRaisesRegex(errors.ConfigError, "dependencies="):
      self.again(Image(), {})
    found = self.again(Image(), {"dependencies": ("numba",)})
    self.assertIn("numba", found.requirements)
    there = image.again(
      self.old(_INSTALLED), None, contains=False, builder=None, report=silent
    )
    self.assertEqual(there, Image(category="cpu", dependencies=("scipy",)))


if __name__ == "__main__":
  absltest.main()
