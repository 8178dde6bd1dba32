import os
import subprocess
import sys
import sysconfig
import textwrap
import time
from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote.job.doing import At, Doing
from keras_remote.runner import sampling
from keras_remote.runner.sampling import Frame, Sampler

_PACKAGES = sysconfig.get_paths()["purelib"]
_STANDARD = sysconfig.get_paths()["stdlib"]
_MAIN = Frame("/project/main.py", "<module>", 60, 8)
_TRAIN = Frame("/scratch/context/train.py", "train", 12, 40)
_KERAS = Frame(f"{_PACKAGES}/keras/trainer.py", "fit", 400, 90)
_ARRAY = Frame(f"{_PACKAGES}/jax/_src/array.py", "_value", 623, 12)
_COMPILER = Frame(f"{_PACKAGES}/jax/_src/compiler.py", "compile", 353, 2)
_JOIN = Frame(f"{_PACKAGES}/jax/_src/distributed.py", "initialize", 173, 2)
_LOCK = Frame(f"{_STANDARD}/threading.py", "wait", 320, 6)


class SamplerTest(parameterized.TestCase):
  def sampler(self, *, futex: bool | None = True) -> Sampler:
    return Sampler(
      ("/scratch/context", "/project"),
      lambda: futex,
      lambda: (f"{_PACKAGES}/jax/", f"{_PACKAGES}/jaxlib/"),
    )

  @parameterized.named_parameters(
    ("in a value of JAX", (_MAIN, _TRAIN, _ARRAY), True, At.WAITS),
    ("where nobody knows on what", (_TRAIN, _ARRAY), None, At.WAITS),
    ("in a call of JAX that sleeps elsewhere", (_ARRAY,), False, At.RUNS),
    ("in a compiled function", (_MAIN, _TRAIN), True, At.WAITS),
    ("in one that a library calls", (_TRAIN, _KERAS), True, At.WAITS),
    ("in time.sleep", (_MAIN, _TRAIN), False, At.RUNS),
    ("where nobody knows in what", (_MAIN, _TRAIN), None, At.RUNS),
    ("in a lock", (_TRAIN, _LOCK), True, At.RUNS),
    ("before the group is there", (_JOIN,), True, At.JOINS),
    ("in a compiler", (_TRAIN, _COMPILER), True, At.COMPILES),
    ("in nothing", (), True, At.RUNS),
  )
  def test_a_thread_that_sleeps(
    self, stack: tuple[Frame, ...], futex: bool | None, at: At
  ) -> None:
    """It waits where it sleeps in JAX, and nowhere else."""
    sampler = self.sampler(futex=futex)
    sampler.sample(stack, 1.0, 100.0)
    doing = sampler.sample(stack, 1.0, 102.0)
    self.assertEqual(doing.at, at)
    self.assertEqual(doing.seconds, 2.0)
    self.assertEqual(doing.count, 2)

  def test_without_jax(self) -> None:
    """Nothing waits in it."""
    sampler = Sampler((), lambda: True, lambda: ())
    sampler.sample((_TRAIN,), 0, 0)
    self.assertEqual(sampler.sample((_TRAIN,), 0, 2).at, At.RUNS)

  def test_a_loop_that_waits_again_and_again(self) -> None:
    """A step that takes the processor ends a wait, at the same place too."""
    sampler = self.sampler()
    seen = [
      sampler.sample((_TRAIN, _ARRAY), used, 2.0 * count)
      for count, used in enumerate((0, 0, 0, 0.01, 0.01, 0.01))
    ]
    runs, waits = At.RUNS, At.WAITS
    self.assertEqual(
      [each.at for each in seen], [runs, waits, waits, runs, waits, waits]
    )
    self.assertEqual([each.seconds for each in seen], [0, 2, 4, 0, 2, 4])

  def test_a_place(self) -> None:
    """That of the user's innermost frame, as the user knows it."""
    sampler = self.sampler(futex=False)
    stack = (_MAIN, _TRAIN, _KERAS, _LOCK)
    *_, doing = (sampler.sample(stack, 0, now) for now in range(0, 40, 2))
    self.assertEqual((doing.place, doing.function), ("train.py:12", "train"))
    self.assertEqual((doing.seconds, doing.still), (38, 38))

  def test_a_loop(self) -> None:
    """The function that it is in, at no line of it."""

    def stack(step: int) -> tuple[Frame, ...]:
      line = Frame("/scratch/context/train.py", "train", step, step)
      return _MAIN, line, Frame("/project/data.py", f"load_{step}", 1, 1)

    sampler = self.sampler()
    *_, doing = (sampler.sample(stack(s), s, s) for s in range(0, 40, 2))
    self.assertEqual((doing.place, doing.function), ("train.py", "train"))
    self.assertEqual((doing.seconds, doing.still), (38, 38))

  def test_no_code_of_the_users(self) -> None:
    """There is no place then."""
    doing = self.sampler().sample((_KERAS, _ARRAY), 0, 0)
    self.assertEqual((doing.place, doing.function), ("", ""))


class SamplingTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.path = Path(self.create_tempdir().full_path) / "doing"

  def run_main(self, source: str) -> "subprocess.CompletedProcess[str]":
    """Runs the source in a process that is sampled every 50 ms."""
    script = f"""
import os, sys, time
from keras_remote.runner import sampling
PATH = {str(self.path)!r}
sampling.SECONDS = 0.05
beside = sampling.Sampling(PATH, ())
def count():
  said = sampling.read(sampling.Path(PATH))
  return said.count if said else 0
def more():
  before, end = count(), time.monotonic() + 30
  while count() < before + 2:
    assert time.monotonic() < end, "it is not sampled"
    time.sleep(0.01)
more()
{textwrap.dedent(source)}
"""
    return subprocess.run(
      [sys.executable, "-c", script],
      capture_output=True,
      text=True,
      timeout=60,
    )

  def assert_runs(self, source: str) -> None:
    done = self.run_main(source)
    self.assertEqual((done.returncode, done.stderr), (0, ""))

  def test_code_that_does_odd_things(self) -> None:
    """It goes on, says where that is, and touches no file of it."""
    self.assert_runs("""
      os.chdir("/")
      os.closerange(3, 256)
      sys.setrecursionlimit(10_000)
      def deep(left):
        return deep(left - 1) if left else more()
      deep(3000)
      if os.fork() == 0:
        os._exit(0)
      os.wait()
      more()
      assert os.open("/", os.O_RDONLY) == 3
    """)
    said = sampling.read(self.path)
    assert said
    self.assertStartsWith(said.place, "<string>:")
    self.assertEqual(said.function, "more")

  def test_the_end_of_the_process(self) -> None:
    """It is not kept from its end."""
    began = time.monotonic()
    self.assert_runs("beside._sampler.sample = lambda *_: time.sleep(600)")
    self.assertLess(time.monotonic() - began, 50)

  def test_a_folder_that_is_gone(self) -> None:
    """Nothing is said, and the function does not see it."""
    self.assert_runs("""
      os.unlink(PATH)
      os.rmdir(os.path.dirname(PATH))
      time.sleep(0.2)
    """)

  def test_the_end_of_the_function(self) -> None:
    """That it has returned is the last that is said."""
    self.assert_runs("""
      beside.returned()
      beside._thread.join()
    """)
    said = sampling.read(self.path)
    assert said
    self.assertEqual(said.at, At.RETURNED)

  def test_a_name_that_is_too_long(self) -> None:
    """What does not fit into a link is left out."""
    doing = Doing(At.RUNS, "\N{SNOWMAN}" * 120, "\N{SNOWMAN}" * 120, 3.5)
    sampling.say(str(self.path), doing)
    self.assertLess(len(os.readlink(self.path)), 1000)
    self.assertEqual(sampling.read(self.path), Doing(At.RUNS, seconds=3.5))

  def test_nothing_was_said(self) -> None:
    """Nor is what is no such link taken for it."""
    self.assertIsNone(sampling.read(self.path))
    self.path.symlink_to("elsewhere")
    self.assertIsNone(sampling.read(self.path))


if __name__ == "__main__":
  absltest.main()
