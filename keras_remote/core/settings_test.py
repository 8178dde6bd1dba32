import concurrent.futures
import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.core import settings as lib
from keras_remote.core.options import OPTIONS
from keras_remote.home import ensure
from keras_remote.job import launch

# From the lowest.
_SOURCES = (
  "default",
  "active profile",
  "pyproject",
  "chosen profile",
  "variable",
  "argument",
  "settings",
)

# How each option is written when the source of this rank says it.
_WRITTEN: Mapping[str, Callable[[int], Any]] = {
  "accelerator": lambda rank: f"v5e-{rank}",
  "backend": lambda rank: f"backend{rank}",
  "name": lambda rank: f"name{rank}",
  "tags": lambda rank: [f"tag{rank}", "b"],
  "env": lambda rank: {f"NAME{rank}": "value"},
  "capture_env_vars": lambda rank: [f"PATTERN{rank}_*"],
  "working_dir": lambda rank: f"/work{rank}",
  "pending_timeout": lambda rank: f"{rank}s",
  "timeout": lambda rank: f"{rank}s",
  "store": lambda rank: f"gs://bucket{rank}",
  "context": lambda rank: f"context{rank}",
  "project": lambda rank: f"project{rank}",
  "zone": lambda rank: f"zone{rank}",
  "cluster": lambda rank: f"cluster{rank}",
  "namespace": lambda rank: f"namespace{rank}",
  "container_image": lambda rank: f"image{rank}",
  "cpu": lambda rank: f"{rank}",
  "memory": lambda rank: f"{rank}Gi",
  "queue": lambda rank: f"queue{rank}",
  "priority_class": lambda rank: f"class{rank}",
  "service_account": lambda rank: f"account{rank}",
  "build_service_account": lambda rank: f"builds{rank}@p.example.com",
  "image": lambda rank: f"image{rank}",
  "base_image": lambda rank: f"base{rank}",
  "dependencies": lambda rank: f"/requirements{rank}.txt",
  "hosts": lambda rank: f"{rank}",
  "slices": lambda rank: f"{rank}",
  "retries": lambda rank: f"{rank}",
  "max_preemptions": lambda rank: f"{rank}",
  "startup_timeout": lambda rank: f"{rank}s",
  "distribution": lambda rank: f"distribution{rank}",
}
# What it then is.
_RESOLVED: Mapping[str, Callable[[int], Any]] = {
  **_WRITTEN,
  "tags": lambda rank: (f"tag{rank}", "b"),
  "capture_env_vars": lambda rank: (f"PATTERN{rank}_*",),
  "working_dir": lambda rank: Path(f"/work{rank}"),
  "pending_timeout": lambda rank: float(rank),
  "timeout": lambda rank: float(rank),
  "dependencies": lambda rank: Path(f"/requirements{rank}.txt"),
  "hosts": lambda rank: rank,
  "slices": lambda rank: rank,
  "retries": lambda rank: rank,
  "max_preemptions": lambda rank: rank,
  "startup_timeout": lambda rank: float(rank),
}


def _toml(name: str, rank: int) -> str:
  value = _WRITTEN[name](rank)
  if isinstance(value, dict):
    pairs = (f"{key} = {json.dumps(text)}" for key, text in value.items())
    return f"{name} = {{ {', '.join(pairs)} }}\n"
  return f"{name} = {json.dumps(value)}\n"


class _TestCase(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    root = Path(self.create_tempdir().full_path)
    self.home = ensure(root / "home")
    self.config = self.home / "config.toml"
    self.cwd = ensure(root / "project" / "deep")
    self.pyproject = self.cwd.parent / "pyproject.toml"
    self.environ = {"KERAS_REMOTE_HOME": str(self.home), "PATH": "/bin"}

  def resolve(self, **arguments: object) -> lib.Resolved:
    return lib.resolve(arguments, cwd=self.cwd, environ=self.environ)

  def fails(self, *parts: str, **arguments: object) -> None:
    """Resolving is refused, and the message has each of these parts."""
    with self.assertRaises(errors.ConfigError) as caught:
      self.resolve(**arguments)
    for part in parts:
      self.assertIn(part, str(caught.exception))


class PrecedenceTest(_TestCase):
  @parameterized.product(name=list(OPTIONS), source=_SOURCES)
  def test_the_highest_source_wins(self, name: str, source: str) -> None:
    """With all sources up to this one set, this one gives the value."""
    top = _SOURCES.index(source)
    variable = OPTIONS[name].variable
    if source == "variable" and variable is None:
      self.assertEqual(name, "env")
      return
    if top >= 1:
      self.config.write_text(_toml(name, 1))
    if top >= 2:
      self.pyproject.write_text("[tool.keras_remote]\n" + _toml(name, 2))
    if top >= 3:
      with self.config.open("a") as file:
        file.write("[profiles.ci]\n" + _toml(name, 3))
      self.environ["KERAS_REMOTE_PROFILE"] = "ci"
    if top >= 4 and variable is not None:
      value = _WRITTEN[name](4)
      text = ", ".join(value) if isinstance(value, list) else value
      self.environ[variable] = text
    arguments = {name: _WRITTEN[name](5)} if top >= 5 else {}
    overrides = lib.settings(**{name: _WRITTEN[name](6)})
    with overrides if top >= 6 else contextlib.nullcontext():
      resolved = self.resolve(**arguments)
    default = str(self.home) if name == "store" else OPTIONS[name].default
    self.assertEqual(
      getattr(resolved.options, name), _RESOLVED[name](top) if top else default
    )
    self.assertEqual(
      resolved.origins[name].sentence,
      {
        "default": "default",
        "active profile": f"profile 'default' ({self.config})",
        "pyproject": f"pyproject.toml [tool.keras_remote] ({self.pyproject})",
        "chosen profile": f"profile 'ci' ({self.config})",
        "variable": variable,
        "argument": "argument",
        "settings": "keras_remote.settings(...)",
      }[source],
    )
    self.assertEqual(
      {resolved.origins[other] for other in OPTIONS if other != name},
      {lib.DEFAULT},
    )

  def test_each_option_has_its_own_winner(self) -> None:
    """Sources add up option by option; tables of env do not merge."""
    self.config.write_text('name = "n"\nenv = { A = "1" }\n')
    self.pyproject.write_text('[tool.keras_remote.env]\nB = "2"\n')
    self.environ["KERAS_REMOTE_BACKEND"] = "local"
    options = self.resolve(accelerator="cpu").options
    self.assertEqual(
      (options.name, options.env, options.backend, options.accelerator),
      ("n", {"B": "2"}, "local", "cpu"),
    )

  def test_argument_none_says_the_default(self) -> None:
    """`timeout=None` lifts the limit that a profile sets."""
    self.config.write_text('timeout = "1h"\nstore = "/s"\ntags = ["a"]\n')
    resolved = self.resolve(timeout=None, store=None, tags=None)
    options = resolved.options
    self.assertIsNone(options.timeout)
    self.assertEqual((options.store, options.tags), (str(self.home), ()))
    self.assertEqual(resolved.origins["timeout"].sentence, "argument")

  def test_without_files_all_is_default(self) -> None:
    """A home that is not there is as good as an empty one, and not made."""
    self.environ["KERAS_REMOTE_HOME"] = str(self.home / "none")
    resolved = self.resolve()
    self.assertEqual(set(resolved.origins.values()), {lib.DEFAULT})
    self.assertEqual(resolved.options.store, str(self.home / "none"))
    self.assertEqual(list(self.home.iterdir()), [])

  def test_process_is_asked_by_default(self) -> None:
    """Without cwd and environ those of the process count."""
    folder = os.getcwd()
    self.addCleanup(os.chdir, folder)
    os.chdir(self.cwd)
    self.pyproject.write_text('[tool.keras_remote]\nname = "here"\n')
    self.assertEqual(lib.resolve({}).options.name, "here")


class PathTest(_TestCase):
  def test_relative_paths_start_where_they_are_written(self) -> None:
    """In a file from its folder, else from the current directory."""
    self.config.write_text('store = "x"\n')
    self.assertEqual(self.resolve().options.store, str(self.home / "x"))
    self.pyproject.write_text('[tool.keras_remote]\nstore = "x"\n')
    self.assertEqual(self.resolve().options.store, str(self.cwd.parent / "x"))
    self.environ["KERAS_REMOTE_STORE"] = "y"
    self.assertEqual(self.resolve().options.store, str(self.cwd / "y"))
    self.assertEqual(self.resolve(store="z").options.store, str(self.cwd / "z"))

  def test_nearest_pyproject_counts_alone(self) -> None:
    """One without our table hides those above it."""
    self.pyproject.write_text('[tool.keras_remote]\nname = "n"\n')
    self.assertEqual(self.resolve().options.name, "n")
    (self.cwd / "pyproject.toml").write_text('[project]\nname = "x"\n')
    self.assertIsNone(self.resolve().options.name)


class OverrideTest(_TestCase):
  def test_inner_block_wins_and_ends(self) -> None:
    """Blocks nest; after them nothing is left, an exception or not."""
    with self.assertRaises(KeyError), lib.settings(name="a", backend="x"):
      with lib.settings(name="b"):
        options = self.resolve(name="c").options
        self.assertEqual((options.name, options.backend), ("b", "x"))
      self.assertEqual(self.resolve().options.name, "a")
      raise KeyError
    self.assertIsNone(self.resolve().options.name)

  def test_threads_see_it(self) -> None:
    """Code under test that starts threads is overridden there too."""
    with (
      concurrent.futures.ThreadPoolExecutor(1) as pool,
      lib.settings(name="a"),
    ):
      self.assertEqual(pool.submit(self.resolve).result().options.name, "a")

  def test_overlapping_equal_blocks_end_in_any_order(self) -> None:
    """Each takes its own override along, not that of another."""
    first, between, last = (lib.settings(name=name) for name in ("a", "b", "a"))
    for block in (first, between, last):
      block.__enter__()
    last.__exit__(None, None, None)
    self.assertEqual(self.resolve().options.name, "b")
    first.__exit__(None, None, None)
    self.assertEqual(self.resolve().options.name, "b")
    between.__exit__(None, None, None)
    self.assertIsNone(self.resolve().options.name)

  def test_many_threads_leave_nothing(self) -> None:
    """Blocks of many threads at once all end."""
    barrier = threading.Barrier(8)

    def enter_often() -> None:
      barrier.wait()
      for _ in range(200):
        with lib.settings(name="a"):
          pass

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
      for future in [pool.submit(enter_often) for _ in range(8)]:
        future.result()
    self.assertIsNone(self.resolve().options.name)

  @parameterized.parameters({"timout": 3}, {"timeout": "soon"})
  def test_wrong_override_is_refused_at_the_door(self, **wrong: Any) -> None:
    """The block is not entered, and overrides nothing."""
    with (
      self.assertRaisesRegex(errors.ConfigError, r"settings\(\.\.\.\): "),
      lib.settings(**wrong),
    ):
      self.fail("entered")
    self.resolve()


class RefusalTest(_TestCase):
  def test_unknown_argument(self) -> None:
    """The nearest option is offered."""
    self.fails("argument:", "'timout'", "'timeout'", timout=3)

  def test_wrong_argument(self) -> None:
    """Option, right form and wrong value are named."""
    self.fails("argument: timeout takes", "'soon'", timeout="soon")

  @parameterized.parameters(
    "KERAS_REMOTE_BACKEND",
    "KERAS_REMOTE_PROFILE",
    "KERAS_REMOTE_HOME",
    "KERAS_REMOTE_OUTPUT_DIR",
    "KERAS_REMOTE_NEVER_HEARD_OF",
  )
  def test_empty_variable(self, variable: str) -> None:
    """Set but empty is a mistake of a script, never a wish."""
    self.environ[variable] = ""
    self.fails(variable, "empty", f"unset {variable}")

  @parameterized.parameters(
    ("KERAS_REMOTE_TIMOUT", "KERAS_REMOTE_TIMEOUT"),
    ("KERAS_REMOTE_PROFIL", "KERAS_REMOTE_PROFILE"),
  )
  def test_unknown_variable(self, variable: str, near: str) -> None:
    """The nearest variable is offered."""
    self.environ[variable] = "x"
    self.fails(f"{variable} ", f"'{near}'")

  def test_variables_of_a_job_are_known(self) -> None:
    """A job's process may resolve settings."""
    for variable in launch.VARIABLES | {"KERAS_REMOTE_OUTPUT_DIR"}:
      self.environ[variable] = "x"
    self.resolve()

  @parameterized.parameters(
    ("TIMEOUT", "soon"), ("TAGS", "a,,b"), ("CAPTURE_ENV_VARS", ",")
  )
  def test_wrong_variable(self, name: str, text: str) -> None:
    """The variable is named, also where an argument wins over it."""
    self.environ[f"KERAS_REMOTE_{name}"] = text
    self.fails(f"KERAS_REMOTE_{name}: ", timeout=3, tags=["a"])

  @parameterized.named_parameters(
    ("broken", "a = 1\nb = [", "at end"),
    ("broken_line", "a = 1\nb c\n", "line 2"),
    ("not_utf8", b"a = 1\n\nb = '\xff'", "line 3"),
    ("unknown", "[tool.keras_remote]\ntimout = 3", "'timeout'"),
    ("wrong", "[tool.keras_remote]\ntimeout = []", "timeout takes"),
    ("no_table", "[tool]\nkeras_remote = 3", "is a table, not int"),
    ("tool_no_table", "tool = 3", "tool is a table, not int"),
    ("dash", "[tool.keras-remote]", "write [tool.keras_remote]"),
  )
  def test_wrong_pyproject(self, text: str | bytes, part: str) -> None:
    """File, and line or name, are told."""
    self.pyproject.write_bytes(
      text if isinstance(text, bytes) else text.encode()
    )
    self.fails(str(self.pyproject), part)

  @parameterized.named_parameters(
    ("broken_line", "a = 1\nb c\n", "line 2"),
    ("unknown", "timout = 3", "profile 'default' "),
    ("wrong", "timeout = []", "timeout takes"),
    ("profiles_no_table", "profiles = 3", "profiles is a table"),
    ("profile_no_table", "profiles.ci = 3", "profiles.ci is a table"),
    ("two_defaults", "[profiles.default]", "move the options"),
    ("active_unknown", 'active = "ci"\n[profiles.cd]', "default, cd;"),
    ("active_no_text", "active = 3", "'3'"),
  )
  def test_wrong_config(self, text: str, part: str) -> None:
    """File, and line or name, are told."""
    self.config.write_text(text)
    self.fails(str(self.config), part)

  def test_unreadable_file(self) -> None:
    """What is no file for us is told as such, not passed over."""
    self.config.mkdir()
    self.fails(f"{self.config} cannot be read")

  def test_unknown_chosen_profile(self) -> None:
    """The variable is named, and the profiles that there are."""
    self.config.write_text("[profiles.ci]\n[profiles.cd]\n")
    self.environ["KERAS_REMOTE_PROFILE"] = "cj"
    self.fails("KERAS_REMOTE_PROFILE: ", "'cj'", "default, ci, cd")

  def test_config_that_others_can_write_is_not_read(self) -> None:
    """Whoever can write the home could send jobs anywhere."""
    self.home.chmod(0o777)
    with self.assertRaisesRegex(errors.StoreError, "chmod go-w"):
      self.resolve()


class CheckTest(_TestCase):
  def test_what_is_not_there_is_told_with_who_named_it(self) -> None:
    """An accelerator or a backend that is unknown, wherever it is written."""
    self.config.write_text('backend = "gcp"\n')
    with self.assertRaisesRegex(
      errors.ConfigError, "profile 'default' .*: unknown backend 'gcp'"
    ):
      self.resolve().check()
    self.environ["KERAS_REMOTE_ACCELERATOR"] = "v5x"
    with self.assertRaisesRegex(
      errors.AcceleratorError, "KERAS_REMOTE_ACCELERATOR: unknown .*'v5x'"
    ):
      self.resolve(backend="local").check()
    self.resolve(backend="local", accelerator="v5e").check()

  def test_it_is_not_written_into_a_profile(self) -> None:
    """The mistake shows where it is made."""
    for name, error in (
      ("accelerator", errors.AcceleratorError),
      ("backend", errors.ConfigError),
    ):
      with self.assertRaises(error):
        lib.set_value(None, name, "v5x", environ=self.environ)
    self.assertFalse(self.config.exists())


class ProfileTest(_TestCase):
  def test_active_profile_replaces_the_default_one(self) -> None:
    """The top-level options are a profile of their own, no base for all."""
    self.config.write_text(
      'name = "top"\nbackend = "x"\nactive = "ci"\n[profiles.ci]\nname = "ci"'
    )
    options = self.resolve().options
    self.assertEqual((options.name, options.backend), ("ci", None))
    self.environ["KERAS_REMOTE_PROFILE"] = "default"
    options = self.resolve().options
    self.assertEqual((options.name, options.backend), ("top", "x"))

  def test_profiles_without_a_file(self) -> None:
    """There is always the profile "default"."""
    current = lib.profiles(environ=self.environ)
    self.assertEqual(current, lib.Profiles("default", {"default": {}}))

  def test_profiles(self) -> None:
    """All are listed as written, the active one named."""
    self.config.write_text(
      'name = "top"\nactive = "ci"\n[profiles.ci]\ntimeout = "1h"'
    )
    tables = {"default": {"name": "top"}, "ci": {"timeout": "1h"}}
    self.assertEqual(
      lib.profiles(environ=self.environ), lib.Profiles("ci", tables)
    )
    self.environ["KERAS_REMOTE_PROFILE"] = "default"
    self.assertEqual(
      lib.profiles(environ=self.environ), lib.Profiles("default", tables)
    )


class EditTest(_TestCase):
  def set(self, profile: str | None, name: str, text: str) -> None:
    lib.set_value(profile, name, text, environ=self.environ)

  @parameterized.product(
    case=(
      ("accelerator", "v5e-8", "v5e-8"),
      ("tags", "a, b", ("a", "b")),
      ("env", "A=1, B=x=y", {"A": "1", "B": "x=y"}),
      ("timeout", "30m", 1800.0),
      ("working_dir", "x", Path.cwd() / "x"),
      ("store", "x", str(Path.cwd() / "x")),
      ("store", "gs://b", "gs://b"),
    ),
    profile=(None, "default", "ci"),
  )
  def test_what_is_set_is_resolved(
    self, case: tuple[str, str, object], profile: str | None
  ) -> None:
    """Into an empty home; and what is unset is gone."""
    name, text, expected = case
    self.set(profile, name, text)
    if profile:
      lib.use_profile(profile, environ=self.environ)
    resolved = self.resolve()
    self.assertEqual(getattr(resolved.options, name), expected)
    self.assertIn(
      f"profile {profile or 'default'!r}", resolved.origins[name].sentence
    )
    self.assertTrue(lib.unset_value(profile, name, environ=self.environ))
    self.assertFalse(lib.unset_value(profile, name, environ=self.environ))
    self.assertEqual(self.resolve().origins[name], lib.DEFAULT)

  def test_the_rest_of_the_file_stays(self) -> None:
    """Comments, order and other profiles are kept; the file becomes 0600."""
    text = '# mine\nname = "n" # why\n\n[profiles.ci]\n# of ci\nbackend = "x"\n'
    self.config.write_text(text)
    self.config.chmod(0o644)
    self.set(None, "timeout", "30m")
    self.set("ci", "name", "c")
    lib.use_profile("ci", environ=self.environ)
    written = self.config.read_text()
    for line in text.splitlines():
      self.assertIn(line, written)
    self.assertIn('timeout = "30m"', written)
    self.assertEqual(self.config.stat().st_mode & 0o777, 0o600)
    self.assertEqual(
      lib.profiles(environ=self.environ),
      lib.Profiles(
        "ci",
        {
          "default": {"name": "n", "timeout": "30m"},
          "ci": {"backend": "x", "name": "c"},
        },
      ),
    )

  def test_none_is_the_active_profile(self) -> None:
    """KERAS_REMOTE_PROFILE chooses what is written too."""
    self.set("ci", "name", "c")
    self.environ["KERAS_REMOTE_PROFILE"] = "ci"
    self.set(None, "backend", "local")
    self.assertEqual(
      lib.profiles(environ=self.environ).tables,
      {"default": {}, "ci": {"name": "c", "backend": "local"}},
    )

  def test_a_home_that_cannot_be_written(self) -> None:
    """It is said, with the path."""
    (self.home / "config.lock").mkdir()
    with self.assertRaisesRegex(errors.StoreError, "config.lock: Is a dir"):
      self.set(None, "name", "n")

  def test_two_that_write_at_once(self) -> None:
    """One comes after the other: neither loses what the other wrote."""
    other = threading.Thread(
      target=lib.set_value,
      args=("b", "name", "there"),
      kwargs={"environ": self.environ},
    )
    with lib.edited(self.environ) as (document, _):
      other.start()
      other.join(0.5)
      lib.profile_table(document, "a")["name"] = "here"
    other.join()
    tables = lib.profiles(environ=self.environ).tables
    self.assertEqual(tables["a"], {"name": "here"})
    self.assertEqual(tables["b"], {"name": "there"})

  def test_a_link_stays_a_link(self) -> None:
    """A config.toml that is kept among dotfiles is written there."""
    dotfile = self.cwd / "dotfile"
    dotfile.write_text("")
    self.config.symlink_to(dotfile)
    self.set(None, "name", "n")
    self.assertTrue(self.config.is_symlink())
    self.assertEqual(dotfile.read_text(), 'name = "n"\n')

  @parameterized.parameters(
    ("timout", "3", "'timeout'"),
    ("timeout", "soon", "timeout takes"),
    ("env", "A", "env takes"),
    ("name", "", "name takes"),
  )
  def test_wrong_value_changes_nothing(
    self, name: str, text: str, part: str
  ) -> None:
    """What could not be read back is not written."""
    self.config.write_text("# mine\n")
    with self.assertRaisesRegex(errors.ConfigError, part):
      self.set(None, name, text)
    self.assertEqual(self.config.read_text(), "# mine\n")

  def test_broken_file_is_left_alone(self) -> None:
    """It is not overwritten; its line is told."""
    self.config.write_text("a = 1\nb c\n")
    with self.assertRaisesRegex(errors.ConfigError, "line 2"):
      self.set(None, "name", "n")
    self.assertEqual(self.config.read_text(), "a = 1\nb c\n")

  def test_unknown_profile(self) -> None:
    """Neither used nor unset in; those that there are get listed."""
    self.set("ci", "name", "n")
    with self.assertRaisesRegex(errors.ConfigError, "'cj'.*default, ci;"):
      lib.use_profile("cj", environ=self.environ)
    with self.assertRaisesRegex(errors.ConfigError, "'cj'.*default, ci;"):
      lib.unset_value("cj", "name", environ=self.environ)

  def test_a_wrong_active_profile_can_be_mended(self) -> None:
    """Another may be used, or the missing one made by its name."""
    self.config.write_text('active = "gone"\n')
    with self.assertRaisesRegex(errors.ConfigError, "'gone'"):
      self.set(None, "name", "n")
    lib.use_profile("default", environ=self.environ)
    self.resolve()

  def test_profile_outlives_its_last_option(self) -> None:
    """Also one that only a table below it had made."""
    self.config.write_text('active = "ci"\n[profiles.ci.env]\nA = "1"\n')
    self.set(None, "name", "n")
    for name in ("name", "env"):
      self.assertTrue(lib.unset_value(None, name, environ=self.environ))
    self.assertEqual(
      lib.profiles(environ=self.environ),
      lib.Profiles("ci", {"default": {}, "ci": {}}),
    )

  def test_profiles_in_any_spelling_of_toml(self) -> None:
    """Inline, dotted and scattered tables take options too."""
    self.config.write_text(
      "profiles.a = { timeout = 1 }\nprofiles.b.timeout = 2\n"
      "[other]\n[profiles.c]\ntimeout = 3\n"
    )
    for profile in "abcd":
      self.set(profile, "name", profile)
      self.set(profile, "timeout", "9")
      self.set(profile, "env", "A=1")
    tables = lib.profiles(environ=self.environ).tables
    for profile in "abcd":
      self.assertEqual(
        tables[profile], {"name": profile, "timeout": "9", "env": {"A": "1"}}
      )

  def test_an_unknown_option_can_be_unset(self) -> None:
    """A key of another version, or a slip, goes; one not there is a slip."""
    self.config.write_text("timout = 3\n")
    self.assertTrue(lib.unset_value(None, "timout", environ=self.environ))
    with self.assertRaisesRegex(errors.ConfigError, "'timeout'"):
      lib.unset_value(None, "timout", environ=self.environ)


if __name__ == "__main__":
  absltest.main()
