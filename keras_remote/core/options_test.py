import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote import errors
from keras_remote.core import options
from keras_remote.core.options import OPTIONS

_BASE = Path("/base")


def _read(name: str, value: object) -> Any:
  return OPTIONS[name].read(value, base=_BASE, where="here")


class TableTest(parameterized.TestCase):
  def test_arguments_are_the_options(self) -> None:
    """What `run` is annotated with names every option and nothing else."""
    self.assertCountEqual(options.OptionArguments.__annotations__, OPTIONS)

  @parameterized.parameters(
    ("accelerator", "--accelerator", "KERAS_REMOTE_ACCELERATOR"),
    ("backend", "--backend", "KERAS_REMOTE_BACKEND"),
    ("name", "--name", "KERAS_REMOTE_NAME"),
    ("tags", "--tag", "KERAS_REMOTE_TAGS"),
    ("env", "--env", None),
    ("capture_env_vars", "--capture-env", "KERAS_REMOTE_CAPTURE_ENV_VARS"),
    ("working_dir", "--working-dir", "KERAS_REMOTE_WORKING_DIR"),
    ("timeout", "--timeout", "KERAS_REMOTE_TIMEOUT"),
    ("store", "--store", "KERAS_REMOTE_STORE"),
    ("hosts", "--hosts", "KERAS_REMOTE_HOSTS"),
    ("slices", "--slices", "KERAS_REMOTE_SLICES"),
    ("retries", "--retries", "KERAS_REMOTE_RETRIES"),
    (
      "max_preemptions",
      "--max-preemptions",
      "KERAS_REMOTE_MAX_PREEMPTIONS",
    ),
    (
      "startup_timeout",
      "--startup-timeout",
      "KERAS_REMOTE_STARTUP_TIMEOUT",
    ),
    ("distribution", "--distribution", "KERAS_REMOTE_DISTRIBUTION"),
  )
  def test_names(self, name: str, flag: str, variable: str | None) -> None:
    """Users type these: they never change unnoticed."""
    option = OPTIONS[name]
    self.assertEqual((option.flag, option.variable), (flag, variable))
    self.assertEndsWith(option.doc, ".")

  def test_defaults_are_those_of_the_dataclass(self) -> None:
    """The table and the dataclass say the same; the store has none."""
    resolved = options.Options(store="/s")
    for name in OPTIONS.keys() - {"store"}:
      self.assertEqual(OPTIONS[name].default, getattr(resolved, name), name)

  def test_the_table_costs_no_click_and_no_toml(self) -> None:
    """`import keras_remote` stays fast: these load when they are needed."""
    code = (
      "import sys, keras_remote.core.settings;"
      "print({'click', 'rich', 'tomllib', 'tomlkit', 'difflib'}"
      " & set(sys.modules))"
    )
    root = Path(options.__file__).parents[2]
    printed = subprocess.run(
      [sys.executable, "-c", code], cwd=root, capture_output=True, check=True
    ).stdout
    self.assertEqual(printed, b"set()\n")


class ReadTest(parameterized.TestCase):
  @parameterized.parameters(
    ("accelerator", "v5e-8", "v5e-8"),
    ("tags", ["a", "b"], ("a", "b")),
    ("tags", ("a",), ("a",)),
    ("tags", [], ()),
    ("env", {"A": "1", "B": ""}, {"A": "1", "B": ""}),
    ("working_dir", "x", Path("/base/x")),
    ("working_dir", ".", Path("/base")),
    ("working_dir", "/x", Path("/x")),
    ("working_dir", Path("x"), Path("/base/x")),
    ("working_dir", "~/x", Path("~/x").expanduser()),
    ("store", "x", "/base/x"),
    ("store", Path("x"), "/base/x"),
    ("store", "gs://bucket/x", "gs://bucket/x"),
    ("timeout", 90, 90.0),
    ("cpu", 4, "4"),
    ("cpu", "0.5", "500m"),
    ("memory", "16Gi", "16Gi"),
    ("queue", "team-a.gpus", "team-a.gpus"),
    ("dependencies", ["a>=1,<2", "b"], ("a>=1,<2", "b")),
    ("dependencies", [], ()),
    ("dependencies", "gpu.txt", Path("/base/gpu.txt")),
    ("dependencies", Path("gpu.txt"), Path("/base/gpu.txt")),
    ("timeout", 0.5, 0.5),
    ("timeout", "90", 90.0),
    ("timeout", "90s", 90.0),
    ("timeout", " 1.5 m", 90.0),
    ("timeout", "30m", 1800.0),
    ("timeout", "24h", 86400.0),
    ("timeout", "2d", 172800.0),
    ("hosts", 1, 1),
    ("hosts", " 10000 ", 10000),
    ("slices", "2", 2),
    ("retries", 0, 0),
    ("retries", "1000", 1000),
    ("max_preemptions", "0", 0),
    ("startup_timeout", "5m", 300.0),
    ("distribution", "data_parallel", "data_parallel"),
  )
  def test_right(self, name: str, value: object, expected: object) -> None:
    """Each form that the docs name becomes the option's one type."""
    read = _read(name, value)
    self.assertEqual(read, expected)
    self.assertIs(type(read), type(expected))

  @parameterized.parameters(
    ("accelerator", 3),
    ("accelerator", ""),
    ("backend", ["local"]),
    ("tags", "abc"),
    ("dependencies", 3),
    ("dependencies", ""),
    ("dependencies", ["a", 1]),
    ("tags", ["a", 1]),
    ("tags", ["a", ""]),
    ("tags", {"a": "b"}),
    ("env", "A=1"),
    ("env", ["A=1"]),
    ("env", {"A": 1}),
    ("env", {"A": None}),
    ("env", {"A=B": "1"}),
    ("env", {"": "1"}),
    ("env", {"A": "\0"}),
    ("env", {"A": "\ud800"}),
    ("env", {"\ud800": "1"}),
    ("env", {"\0": "1"}),
    ("working_dir", 3),
    ("working_dir", ""),
    ("store", b"x"),
    ("timeout", True),
    ("cpu", "four"),
    ("memory", "16GB"),
    ("queue", "Team"),
    ("priority_class", "-a"),
    ("service_account", "a" * 64),
    ("build_service_account", "builds"),
    ("build_service_account", "serviceAccount:builds@p.iam.example.com"),
    ("timeout", 0),
    ("timeout", -1),
    ("timeout", float("nan")),
    ("timeout", float("inf")),
    ("timeout", 10**400),
    ("timeout", "0s"),
    ("timeout", "-1s"),
    ("timeout", "1 week"),
    ("timeout", "1h30m"),
    ("timeout", "٣s"),
    ("timeout", "9" * 400),
    ("timeout", [90]),
    ("hosts", 0),
    ("hosts", 10001),
    ("hosts", True),
    ("hosts", 2.0),
    ("hosts", "2.0"),
    ("hosts", "٣"),
    ("hosts", "9" * 5000),
    ("slices", 0),
    ("retries", -1),
    ("retries", "-1"),
    ("retries", 1001),
    ("max_preemptions", "ten"),
    ("startup_timeout", 0),
    ("distribution", 1),
  )
  def test_wrong(self, name: str, value: object) -> None:
    """The sentence begins with the place and says what is right."""
    takes = OPTIONS[name].kind.takes
    with self.assertRaises(errors.ConfigError) as caught:
      _read(name, value)
    self.assertStartsWith(str(caught.exception), f"here: {name} takes {takes}")

  @parameterized.parameters(({"TOKEN": b"hush"},), ("TOKEN hush",))
  def test_values_of_env_are_never_shown(self, value: object) -> None:
    """They are secrets more often than not."""
    with self.assertRaises(errors.ConfigError) as caught:
      _read("env", value)
    self.assertNotIn("hush", str(caught.exception))

  @given(st.integers(1, 10**6), st.sampled_from("smhd"))
  def test_units_of_time(self, number: int, unit: str) -> None:
    """A duration is its number times its unit, or too long to be meant."""
    seconds = number * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    if seconds < 100 * 365 * 86400:
      self.assertEqual(_read("timeout", f"{number}{unit}"), seconds)
    else:
      with self.assertRaises(errors.ConfigError):
        _read("timeout", f"{number}{unit}")

  @given(
    st.sampled_from(sorted(OPTIONS)),
    st.from_type(type).flatmap(st.from_type) | st.text(),
  )
  def test_any_value_is_read_or_refused(self, name: str, value: object) -> None:
    """Whatever comes, nothing but ConfigError leaves the reader."""
    with contextlib.suppress(errors.ConfigError):
      _read(name, value)


class CheckTest(parameterized.TestCase):
  def test_image(self) -> None:
    """It is one of three words; who names an image is told where."""
    for word in ("auto", "build", "install"):
      OPTIONS["image"].check(word, where="here")
    with self.assertRaisesRegex(errors.ConfigError, "here.*container_image="):
      OPTIONS["image"].check("python:3", where="here")

  def test_distribution(self) -> None:
    """There is one by name; who means another is told how to set it."""
    OPTIONS["distribution"].check("data_parallel", where="here")
    with self.assertRaisesRegex(errors.ConfigError, "here.*set_distribution"):
      OPTIONS["distribution"].check("model_parallel", where="here")


class TextTest(parameterized.TestCase):
  @parameterized.parameters(
    ("backend", ["local"], "local"),
    ("timeout", ["1s", "2s"], "2s"),
    ("tags", ["a", "b c"], ["a", "b c"]),
    ("env", ["A=1", "B=x=y", "A=2"], {"A": "2", "B": "x=y"}),
  )
  def test_flags(self, name: str, texts: list[str], expected: object) -> None:
    """The last flag wins; those of lists and tables add up."""
    parsed = OPTIONS[name].parse(texts, where="here")
    self.assertEqual(parsed, expected)
    _read(name, parsed)

  def test_pair_without_value_is_refused_unseen(self) -> None:
    """Its place is told, not its text: that may be a secret."""
    with self.assertRaisesRegex(errors.ConfigError, "here: env.*item 2") as e:
      OPTIONS["env"].parse(["A=1", "hush"], where="here")
    self.assertNotIn("hush", str(e.exception))

  @parameterized.parameters(
    ("accelerator", "a, b", ["a, b"]), ("tags", "a, b", ["a", "b"])
  )
  def test_split(self, name: str, text: str, expected: list[str]) -> None:
    """Only what takes many is separated by commas."""
    self.assertEqual(OPTIONS[name].split(text), expected)


class FindTest(parameterized.TestCase):
  @parameterized.parameters(
    ("timout", "did you mean 'timeout'"),
    ("acelerator", "did you mean 'accelerator'"),
    ("workingdir", "did you mean 'working_dir'"),
    ("xyz", "use accelerator, backend, "),
  )
  def test_wrong_name(self, name: str, cure: str) -> None:
    """The nearest option is offered, or all of them where none is near."""
    with self.assertRaisesRegex(
      errors.ConfigError, f"here: .*{name!r}.*{cure}"
    ):
      options.find(name, where="here")


if __name__ == "__main__":
  absltest.main()
