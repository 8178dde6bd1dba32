import sys
import types
from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.core import environment


class CapturedTest(parameterized.TestCase):
  @parameterized.parameters(
    (["WANDB_*"], {"WANDB_A": "1", "WANDB_B": "2"}),
    (["HF_TOKEN", "WANDB_A"], {"HF_TOKEN": "t", "WANDB_A": "1"}),
    (["NOTHING_*"], {}),
    ([], {}),
  )
  def test_patterns_choose_variables(
    self, patterns: list[str], found: dict[str, str]
  ) -> None:
    """A pattern may match nothing; a name is exact, and so is its case."""
    environ = {"WANDB_A": "1", "WANDB_B": "2", "HF_TOKEN": "t", "wandb_c": "3"}
    self.assertEqual(environment.captured(patterns, environ), found)

  def test_a_name_that_is_not_set_is_an_error(self) -> None:
    """A job without its token would fail late and far away."""
    with self.assertRaisesRegex(errors.ConfigError, "HF_TOKEN.*export"):
      environment.captured(["HF_TOKEN"], {})


class KerasBackendTest(parameterized.TestCase):
  def test_the_variable_decides(self) -> None:
    """As it does for Keras."""
    found = environment.keras_backend({"KERAS_BACKEND": "torch"})
    self.assertEqual(found, self._loaded() or "torch")

  @parameterized.parameters(
    ('{"backend": "jax"}', "jax"),
    ('{"backend": "no_such_framework"}', "jax"),
    ("{", "jax"),
    (None, "jax"),
  )
  def test_the_file_counts_where_what_it_names_is_installed(
    self, text: str | None, expected: str
  ) -> None:
    """Keras writes tensorflow into it unasked."""
    folder = Path(self.create_tempdir().full_path)
    if text is not None:
      (folder / "keras.json").write_text(text)
    found = environment.keras_backend({"KERAS_HOME": str(folder)})
    self.assertEqual(found, self._loaded() or expected)

  def _loaded(self) -> str | None:
    config = sys.modules.get("keras.src.backend.config")
    return config.backend() if config else None


class PathTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.root = Path(self.create_tempdir().full_path).resolve()

  def _on_path(self, *entries: str) -> None:
    before = list(sys.path)
    self.addCleanup(sys.path.__setitem__, slice(None), before)
    sys.path[:0] = entries

  def _loaded(self, name: str, file: Path) -> None:
    module = types.ModuleType(name)
    module.__file__ = str(file)
    module.__spec__ = types.SimpleNamespace(name=name)  # type: ignore
    sys.modules[name] = module
    self.addCleanup(sys.modules.pop, name)

  def test_entries_within_the_project_travel_in_their_order(self) -> None:
    """Those outside do not, nor the installation that lies within."""
    self._on_path(
      str(self.root / "src"),
      str(self.root),
      str(self.root / ".venv" / "lib" / "site-packages"),
      str(self.root.parent),
    )
    self.assertEqual(environment.import_roots(self.root), ("src", "."))

  def test_entries_that_lead_there_by_a_link(self) -> None:
    """An editable install, or a home directory, may be reached by one."""
    (self.root / "src").mkdir()
    (self.root / "lib").mkdir()
    link = Path(self.create_tempdir("links").full_path) / "link"
    link.symlink_to(self.root)
    self._on_path(str(link / "src"))
    self._loaded("sample_linked", link / "lib" / "sample_linked.py")
    self.assertEqual(environment.import_roots(self.root), ("src", "lib"))
    names = [m.__name__ for m in environment.modules_by_value(self.root)]
    self.assertNotIn("sample_linked", names)

  def test_a_module_found_in_another_way_names_its_root(self) -> None:
    """An editable install may not be on sys.path at all."""
    self._loaded(
      "sample_package.deep", self.root / "lib/sample_package/deep.py"
    )
    self.assertEqual(environment.import_roots(self.root), ("lib",))

  def test_a_module_that_a_job_cannot_import_goes_by_value(self) -> None:
    """It is neither the project's nor installed."""
    self._loaded("sample_inside", self.root / "sample_inside.py")
    self._loaded("sample_outside", self.root.parent / "sample_outside.py")
    names = [m.__name__ for m in environment.modules_by_value(self.root)]
    self.assertIn("sample_outside", names)
    self.assertNotIn("sample_inside", names)
    self.assertNotIn("absl", names)
    self.assertNotIn("keras_remote", names)

  def test_only_installed_modules_are_imported_early(self) -> None:
    """The project's are not there yet, the standard library's cost nothing."""
    self._loaded("sample_inside", self.root / "sample_inside.py")
    modules = ("sample_inside", "absl", "json", "not_loaded")
    self.assertEqual(environment.early_imports(modules), ("absl",))


if __name__ == "__main__":
  absltest.main()
