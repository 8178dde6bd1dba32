"""How many machines a call has, and what of it cannot be."""

from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.backend.base import Wanted
from keras_remote.backend.registry import open_backend
from keras_remote.core import group
from keras_remote.core.options import Options
from keras_remote.home import Home
from keras_remote.job.spec import EntryKind, Limits
from tests.fakes.environment import environment
from tests.fakes.kubeconfig import kubeconfig


def _options(**fields: Any) -> Options:
  return Options(store="/store", **fields)


class HostsTest(parameterized.TestCase):
  @parameterized.parameters(
    ({}, 1),
    ({"hosts": 3}, 3),
    ({"accelerator": "l4", "hosts": 2}, 2),
    ({"accelerator": "v5e-8"}, 1),
    ({"accelerator": "v5e-16"}, 4),
    ({"accelerator": "v5e-16", "hosts": 4}, 4),
    ({"accelerator": "v5e-16", "slices": 3}, 12),
    ({"accelerator": "v4-16:spot", "slices": 2, "hosts": 2}, 4),
  )
  def test_how_many(self, fields: dict[str, Any], expected: int) -> None:
    """A slice says it itself; of GPUs and CPUs the option does."""
    self.assertEqual(group.hosts(_options(**fields)), expected)

  @parameterized.parameters(
    ({"accelerator": "v5e-8", "hosts": 4}, "has 1.*v5e-16 is the one of 4 hos"),
    (
      {"accelerator": "v5e-16", "hosts": 1},
      "has 4.*v5e-8 is the one of 1 host",
    ),
    ({"accelerator": "v5e-16:spot", "hosts": 8}, "v5e-32:spot is the one of 8"),
    ({"accelerator": "v5e-16", "hosts": 3}, "leave hosts= out$"),
    ({"accelerator": "l4", "slices": 2}, "l4: only TPUs.*hosts=2 has"),
    ({"slices": 2}, "cpu: only TPUs"),
    ({"accelerator": "v5e-8", "slices": 2}, "several hosts.*v5e-16 is the one"),
    ({"accelerator": "v4-8", "slices": 2}, "several hosts.*v4-16 is the one"),
  )
  def test_what_cannot_be(self, fields: dict[str, Any], words: str) -> None:
    """The error says what there is, and names the slice that was meant."""
    with self.assertRaisesRegex(errors.ConfigError, words):
      group.hosts(_options(**fields))


class LimitsTest(parameterized.TestCase):
  def limits(self, backend: str = "local", **fields: Any) -> Limits:
    """The limits on a backend that can keep them."""
    folder = self.create_tempdir().full_path
    options = _options(**fields)
    with environment(KUBECONFIG=kubeconfig(folder, "here")):
      wanted = Wanted(context="here")
      opened = open_backend(backend, Home(Path(folder)), wanted)
      group.check_backend(options, opened, named=True)
      return group.limits(options, opened)

  def test_what_is_asked(self) -> None:
    """Each option is a limit, and nothing is retried where nobody says so."""
    self.assertEqual(self.limits(), Limits())
    asked = {
      "timeout": 1.0,
      "startup_timeout": 2.0,
      "retries": 3,
      "pending_timeout": 4.0,
      "max_preemptions": 5,
    }
    self.assertEqual(self.limits(**asked), Limits(**asked))

  def test_a_clusters_job_has_an_end(self) -> None:
    """It is paid for with nobody there; whoever needs longer says it."""
    self.assertIsNone(self.limits("local").timeout)
    for backend in ("gke", "pathways"):
      self.assertEqual(self.limits(backend).timeout, 24 * 60 * 60)
      self.assertEqual(self.limits(backend, timeout=9e6).timeout, 9e6)

  @parameterized.parameters(
    ("l4", None, 0), ("l4:spot", None, 10), ("l4:spot", 0, 0), ("l4", 2, 2)
  )
  def test_preemptions(
    self, accelerator: str, asked: int | None, expected: int
  ) -> None:
    """Who takes a spot machine expects them, unless told otherwise."""
    found = self.limits(accelerator=accelerator, max_preemptions=asked)
    self.assertEqual(found.max_preemptions, expected)

  @parameterized.parameters("retries", "max_preemptions")
  def test_a_group_that_cannot_start_again(self, option: str) -> None:
    """It is refused, with the backend that can; spot alone asks for nothing."""
    fields: dict[str, Any] = {"accelerator": "l4:spot", "hosts": 2}
    self.assertEqual(self.limits("gke", **fields).max_preemptions, 0)
    with self.assertRaisesRegex(errors.ConfigError, 'backend="pathways"'):
      self.limits("gke", **fields, **{option: 1})
    found = self.limits("pathways", **fields, **{option: 1})
    self.assertEqual(getattr(found, option), 1)
    fields["hosts"] = 1
    self.assertEqual(self.limits("gke", **fields).max_preemptions, 10)
    self.assertEqual(self.limits("gke", **fields, retries=1).retries, 1)

  @parameterized.parameters(
    ("local", {"hosts": 17}, "17 hosts are too many"),
    ("local", {"accelerator": "v4-16", "slices": 9}, "18 hosts are too many"),
    ("gke", {"accelerator": "v4-16", "slices": 2}, 'backend="pathways"'),
  )
  def test_a_backend_that_cannot(
    self, backend: str, fields: dict[str, Any], words: str
  ) -> None:
    """It knows how many hosts it can have, and of how many slices."""
    with self.assertRaisesRegex(errors.ConfigError, words):
      self.limits(backend, **fields)


class FrameworkTest(parameterized.TestCase):
  @parameterized.parameters(
    ({"accelerator": "l4", "hosts": 2}, "l4 on 2 hosts.*KERAS_BACKEND=jax"),
    ({"accelerator": "v5e-16"}, "v5e-16 on 4 hosts"),
    ({"distribution": "data_parallel"}, "Keras on jax.*on torch"),
  )
  def test_only_jax(self, fields: dict[str, Any], words: str) -> None:
    """Groups, and what splits batches over devices, are jax's alone."""
    options = _options(**fields)
    group.check_framework(options, "jax")
    with self.assertRaisesRegex(errors.ConfigError, words):
      group.check_framework(options, "torch")

  def test_one_host(self) -> None:
    """It may run on anything."""
    group.check_framework(_options(accelerator="l4x4"), "torch")

  def test_a_command(self) -> None:
    """It has a Keras of its own, which nobody can tell anything."""
    options = _options(distribution="data_parallel")
    group.check_entry(options, EntryKind.CALL)
    group.check_entry(_options(), EntryKind.COMMAND)
    with self.assertRaisesRegex(errors.ConfigError, "is for functions"):
      group.check_entry(options, EntryKind.COMMAND)


if __name__ == "__main__":
  absltest.main()
