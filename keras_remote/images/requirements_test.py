"""What a job's environment is made of."""

from pathlib import Path

from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from keras_remote import errors
from keras_remote.images import requirements, sources
from keras_remote.images.requirements import Requirements
from keras_remote.images.sources import Found, Line
from keras_remote.progress import Report, Step, silent

_HERE = {
  "python": "3.11.7",
  "jax": "0.10.2",
  "keras": "3.15.1",
  "numpy": "2.4.6",
  "google-cloud-storage": "3.17.1",
  "torch": "2.9.0+cpu",
  "tensorflow": "2.21.0",
}
_STORE = "google-cloud-storage==3.17.1"
_LINES = st.lists(
  st.sampled_from(
    [
      *("jax", "jax>=0.5", "jax[cuda12]", "jax[k8s]<1", "JAX==0.10.2"),
      *("keras", "keras>=3.9", "scipy", "SciPy>=1.11", "numpy>=2", "jaxlib"),
      *("keras_remote[gcp]", "Keras.Remote", "flax==0.11", "torch>=2"),
      *("pandas; sys_platform=='win32'", "google_cloud_storage>=3"),
      "pkg @ https://x.y/z",
    ]
  ),
  max_size=8,
)


def _found(lines: list[str], constraints: list[str]) -> Found:
  return Found(
    tuple(Line(Requirement(t), f"line {i}") for i, t in enumerate(lines)),
    tuple(
      Line(Requirement(t), f"limit {i}") for i, t in enumerate(constraints)
    ),
  )


def _resolve(
  *lines: str,
  category: str = "cpu",
  framework: str = "jax",
  constraints: tuple[str, ...] = (),
  report: Report = silent,
  **versions: str,
) -> Requirements:
  return requirements.resolve(
    _found(list(lines), list(constraints)),
    category=category,
    framework=framework,
    versions={**_HERE, **versions},
    report=report,
  )


class StackTest(parameterized.TestCase):
  @parameterized.parameters(
    ("cpu", "jax==0.10.2"),
    ("gpu", "jax[cuda13]==0.10.2"),
    ("tpu", "jax[tpu]==0.10.2"),
  )
  def test_of_a_category(self, category: str, jax: str) -> None:
    """jax and keras are those of here, for the accelerator of there."""
    stack = (_STORE, jax, "keras==3.15.1", "numpy==2.*")
    found = _resolve("scipy", category=category)
    self.assertEqual(found, Requirements(stack, ("scipy",)))
    self.assertEqual(found.lines, (*stack, "scipy"))

  @parameterized.parameters(
    # Whoever leaves the version open gets that of here, if it fits.
    ("jax", "cpu", "jax==0.10.2"),
    ("JAX>=0.5", "gpu", "jax[cuda13]==0.10.2"),
    ("jax<0.9", "gpu", "jax[cuda13]<0.9"),
    ("jax==0.9.0", "tpu", "jax[tpu]==0.9.0"),
    # An accelerator's extra is ours, but for another of the same category.
    ("jax[cuda12]", "gpu", "jax[cuda12]==0.10.2"),
    ("jax[cuda12-local,k8s]", "gpu", "jax[cuda12-local,k8s]==0.10.2"),
    ("jax[cuda12]", "tpu", "jax[tpu]==0.10.2"),
    ("jax[tpu]", "gpu", "jax[cuda13]==0.10.2"),
    ("jax[cuda12,k8s]", "cpu", "jax[k8s]==0.10.2"),
    ("jax @ https://x/y", "gpu", "jax[cuda13] @ https://x/y"),
  )
  def test_jax_of_the_users(self, line: str, category: str, jax: str) -> None:
    """What they say of it counts."""
    found = _resolve(line, category=category)
    self.assertIn(jax, found.stack)
    self.assertLen(found.lines, 4)

  def test_others_of_the_users(self) -> None:
    """What they say takes the place of ours, in the layer that stays."""
    found = _resolve("keras==3.9", "numpy<3", "jaxlib", "google.cloud.storage")
    self.assertEqual(
      found.stack,
      (_STORE, "jax==0.10.2", "jaxlib", "keras==3.9", "numpy<3"),
    )
    self.assertEmpty(found.rest)

  @parameterized.parameters(
    ("torch", "gpu", "torch==2.9.0"),
    ("tensorflow", "cpu", "tensorflow==2.21.0"),
    ("tensorflow", "gpu", "tensorflow[and-cuda]==2.21.0"),
    ("openvino", "cpu", "openvino"),
  )
  def test_another_backend(
    self, framework: str, category: str, line: str
  ) -> None:
    """Its package comes in jax's place, in the version of here if any."""
    found = _resolve(framework=framework, category=category)
    self.assertIn(line, found.stack)
    self.assertNotIn("jax", str(found))

  def test_jax_beside_another_backend(self) -> None:
    """It comes where somebody asks for it, without the accelerator."""
    found = _resolve("jax", framework="torch", category="gpu")
    self.assertIn("jax==0.10.2", found.stack)

  def test_versions_that_no_index_has(self) -> None:
    """The newest is taken, and a warning says so."""
    told: list[Step] = []
    found = _resolve(jax="0.11.0.dev20261101", report=told.append)
    self.assertIn("jax", found.stack)
    self.assertIn("jax 0.11.0.dev20261101", told[0].what)

  def test_what_travels_along(self) -> None:
    """keras_remote itself is not installed."""
    found = _resolve("keras_remote[gcp]==1", "Keras.Remote", "scipy")
    self.assertEqual(found.rest, ("scipy",))


class RestTest(parameterized.TestCase):
  def test_markers(self) -> None:
    """They go along: what is installed where is known there."""
    line = 'pandas; sys_platform == "win32"'
    self.assertEqual(_resolve(line).rest, (line,))
    found = _resolve('jax==0.1; sys_platform == "darwin"')
    self.assertIn("jax==0.10.2", found.stack)

  @parameterized.parameters(
    (("a==1", "a==2"), ()),
    (("A.b==1", "a_b>=2"), ()),
    (("a==1.*", "a==2"), ()),
    (("a @ https://x/y", "a @ https://x/z"), ()),
    (("a==1",), ("a==2",)),
    (("keras==3.9", "keras==3.10"), ()),
  )
  def test_contradictions(
    self, lines: tuple[str, ...], constraints: tuple[str, ...]
  ) -> None:
    """Both lines are named, with where they are."""
    with self.assertRaises(errors.ConfigError) as caught:
      _resolve(*lines, constraints=constraints)
    self.assertIn("line 0", str(caught.exception))
    other = "limit 0" if constraints else "line 1"
    self.assertIn(other, str(caught.exception))

  @parameterized.parameters(
    ("a==1", "a>=1"),
    ("a==1", "a==1.0"),
    ("a==1", "a==1.*"),
    ("a==1.0rc1", "a<2"),
    ("a==1; sys_platform=='win32'", "a==2"),
    ("a==1; python_version<'3.11'", "a==2; python_version>='3.11'"),
  )
  def test_no_contradictions(self, *lines: str) -> None:
    """They are both there."""
    self.assertLen(_resolve(*lines).rest, 2)

  def test_constraints(self) -> None:
    """They count for what is installed; of others a warning tells."""
    told: list[Step] = []
    found = _resolve(
      "scipy",
      constraints=("scipy<2", "jax==0.9", "six==1"),
      category="gpu",
      report=told.append,
    )
    self.assertEqual(found.rest, ("scipy", "scipy<2"))
    self.assertIn("jax[cuda13]==0.9", found.stack)
    (step,) = told
    self.assertTrue(step.warning)
    self.assertIn("(six)", step.what)

  def test_notes(self) -> None:
    """What the files say and nobody does is told."""
    told: list[Step] = []
    requirements.resolve(
      sources.read(["./here"], Path("/project")),
      category="cpu",
      framework="jax",
      versions=_HERE,
      report=told.append,
    )
    self.assertIn("./here", told[0].what)


class PropertiesTest(absltest.TestCase):
  @given(
    _LINES,
    st.sampled_from(["cpu", "gpu", "tpu"]),
    st.sampled_from(["jax", "torch", "tensorflow"]),
  )
  def test_any_lines(
    self, lines: list[str], category: str, framework: str
  ) -> None:
    """Same wishes, same lines: in any order, twice, and made of the result."""
    found = _resolve(*lines, category=category, framework=framework)
    for other in (reversed(lines), [*lines, *lines], found.lines):
      again = _resolve(*other, category=category, framework=framework)
      self.assertEqual(again, found)
    for made in (found.stack, found.rest):
      self.assertEqual(made, tuple(sorted(set(made))))
    names = [Requirement(line).name for line in found.lines]
    self.assertNotIn("keras-remote", names)
    for name in ("keras", "numpy", framework, "google-cloud-storage"):
      self.assertIn(name, names)


if __name__ == "__main__":
  absltest.main()
