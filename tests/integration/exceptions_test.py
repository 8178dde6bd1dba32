"""What a user's own exceptions and secrets meet on the way, and back."""

import json
import subprocess
import sys
from pathlib import Path

from absl.testing import absltest

from tests.integration.harness import ProjectTest

_COMMAND = str(Path(sys.executable).with_name("keras-remote"))


class ExceptionsTest(ProjectTest):
  def test_odd_exceptions(self) -> None:
    """Whatever an exception or a local does, the call raises what was raised."""
    shown = self.output("""
      import dataclasses
      import keras_remote

      @dataclasses.dataclass(frozen=True)
      class Frozen(Exception):
        code: int

      class Ending(Exception):
        def __reduce__(self):
          raise SystemExit(7)

      class Mute(Exception):
        def __str__(self):
          raise KeyboardInterrupt
        __bool__ = __len__ = __str__

      class Empty(Exception):
        def __len__(self):
          return 0

      class Notes(Exception):
        __notes__ = 5

      class Stray(Exception):
        pass

      Stray.__module__ = None

      class Local:
        def __len__(self):
          raise SystemExit(3)

      @keras_remote.run
      def fail(cls):
        local = Local()
        raise cls(4) from cls(5)

      def group(code):
        return ExceptionGroup("g", [Stray(code)])

      for cls in (Frozen, Ending, Mute, Empty, Notes, Stray, group):
        try:
          fail(cls)
        except BaseException as error:
          assert error.__cause__ is not None
          print(type(error).__name__, end=" ")
          for inner in getattr(error, "exceptions", ()):
            print(type(inner).__name__, inner)
    """)
    self.assertEqual(
      shown,
      "Frozen RemoteError Mute Empty Notes Stray ExceptionGroup Stray 4\n",
    )

  def test_module_outside_of_the_project(self) -> None:
    """Where a script beside it runs from elsewhere, the cure is said."""
    self.write("elsewhere/pyproject.toml", "")
    helper = self.write("helper.py", "")
    script = self.write(
      "main.py",
      """
      import keras_remote

      @keras_remote.run
      def train():
        import helper

      train()
      """,
    )
    ran = subprocess.run(
      [sys.executable, script],
      cwd=self.project / "elsewhere",
      env=self.environ({}),
      capture_output=True,
      text=True,
      timeout=60,
    )
    self.assertIn("No module named 'helper'\n", ran.stderr)
    self.assertRegex(ran.stderr, f"at {helper}: set working_dir")


class SecretsTest(ProjectTest):
  def test_captured_values_are_not_shown(self) -> None:
    """As an argument one is hidden in what people read of the job."""
    self.output(
      """
      import os
      import keras_remote

      @keras_remote.run(capture_env_vars=["MY_URL"])
      def fetch(url, retries):
        return url

      assert fetch(os.environ["MY_URL"], 3) == os.environ["MY_URL"]
      """,
      MY_URL="hunter2-and-more",
    )
    (spec,) = self.home.rglob("spec.json")
    shown = subprocess.run(
      [_COMMAND, "jobs", "show"],
      env=self.environ({}),
      capture_output=True,
      text=True,
      check=True,
    ).stdout
    for text in (spec.read_text(), shown):
      self.assertNotIn("hunter2", text)
      self.assertIn("[redacted]", text)
    params = json.loads(spec.read_text())["entry"]["params"]
    self.assertEqual(params, {"url": "[redacted]", "retries": 3})

  def test_no_part_of_one_is_told(self) -> None:
    """Not where a text is cut short, nor where it is parted into lines."""
    self.output(
      """
      import os
      import keras_remote

      @keras_remote.run(capture_env_vars=["MY_KEY", "MY_URL"])
      def fail():
        data = b"x" * 70 + os.environ["MY_URL"].encode()
        long = ValueError("x" * 4090 + os.environ["MY_URL"] + "y" * 9000)
        long.add_note(str(long))
        raise ExceptionGroup("g", [KeyError(os.environ["MY_KEY"]),
                                   ValueError(os.environ["MY_KEY"])]) from long

      @keras_remote.run(capture_env_vars=["MY_URL"])
      def fail_at_length():
        raise ValueError("x" * 4090 + os.environ["MY_URL"] + "y" * 9000)

      fail.submit().outcome()
      fail_at_length.submit().outcome()
      """,
      MY_KEY="-----\nhunter2-first\nhunter2-second\n",
      MY_URL="hunter2-and-more",
    )
    told = [path.read_text() for path in self.home.rglob("jobs/*/**/*.json")]
    self.assertLen([text for text in told if "[redacted]" in text], 4)
    for text in told:
      self.assertNotRegex(text, "hunt|-first|-second")

  def test_another_home_on_the_same_store(self) -> None:
    """It sees the job and its log, and runs nothing that came of it."""
    store, exploded = self.base / "store", self.base / "exploded"
    self.output(
      """
      import os, sys
      import keras_remote

      class Bomb:
        def __reduce__(self):
          return os.mkdir, (os.environ["EXPLODED"],)

      @keras_remote.run(capture_env_vars=["EXPLODED"])
      def make():
        print("made")
        return Bomb()

      make.submit().outcome()
      """,
      KERAS_REMOTE_STORE=str(store),
      EXPLODED=str(exploded),
    )
    key = self.home / "key"
    seen = """
      import keras_remote

      job = keras_remote.attach("make")
      print(job.status(), *job.logs())
      try:
        job.result()
      except keras_remote.IntegrityError as error:
        print(error)
    """
    self.home = self.base / "other"
    shown = self.output(seen, KERAS_REMOTE_STORE=str(store))
    self.assertStartsWith(shown, "SUCCEEDED made\n")
    self.assertIn("set KERAS_REMOTE_HOME to that folder, or copy", shown)
    self.assertFalse(exploded.exists())
    (self.home / "key").write_bytes(key.read_bytes())
    shown = self.output(seen, KERAS_REMOTE_STORE=str(store))
    self.assertEqual(shown, "SUCCEEDED made\n\n")
    self.assertTrue(exploded.exists())


if __name__ == "__main__":
  absltest.main()
