from absl.testing import absltest, parameterized

from keras_remote.job.doing import At, Doing, Hang
from keras_remote.runner.judging import judge

_MINUTE = 60.0


def _at(
  at: At, seconds: float, place: str = "train.py:12", still: float = _MINUTE
) -> Doing:
  return Doing(at, place, "step", seconds, still)


class JudgeTest(parameterized.TestCase):
  def test_a_host_that_is_elsewhere(self) -> None:
    """The others wait, and it is named with its place."""
    waits = _at(At.WAITS, 15, "train.py:20")
    late = _at(At.RUNS, 24, still=24)
    self.assertEqual(
      judge({0: waits, 1: waits, 2: late, 3: waits}, ()),
      Hang(
        "hosts 0, 1 and 3 have waited in a collective for more than 10 s; "
        "host 2 has been at train.py:12 in step for more than 10 s",
        (2,),
      ),
    )

  @parameterized.named_parameters(
    ("it has just come to a place", _at(At.RUNS, 40, still=1), "elsewhere for"),
    ("it compiles", _at(At.COMPILES, 40), "compiled for more than 30 s at tra"),
    ("it keeps the lock", _at(At.HELD, 40), "for more than 30 s run code"),
    ("it has returned", Doing(At.RETURNED, seconds=40), "returned"),
  )
  def test_what_it_is_at(self, late: Doing, text: str) -> None:
    """That is said of it, as far as it lasts."""
    hang = judge({0: _at(At.WAITS, 50), 1: late}, ())
    assert hang
    self.assertIn("; host 1 has ", hang.sentence)
    self.assertIn(text, hang.sentence)
    self.assertEqual(hang.hosts, (1,))

  @parameterized.named_parameters(
    ("all run", {0: _at(At.RUNS, 99), 1: _at(At.RUNS, 99)}),
    ("all wait at one place", {0: _at(At.WAITS, 99), 1: _at(At.WAITS, 99)}),
    ("a wait is short", {0: _at(At.WAITS, 9), 1: _at(At.RUNS, 99)}),
    ("one is not late", {0: _at(At.WAITS, 99), 1: _at(At.RUNS, 9)}),
    ("nothing is known of one", {0: _at(At.WAITS, 99)}),
    ("nothing is known", {}),
    ("one compiles", {0: _at(At.RUNS, 99), 1: _at(At.COMPILES, 999)}),
    ("a lock is kept", {0: _at(At.RUNS, 99), 1: _at(At.HELD, 29)}),
    ("one has returned", {0: _at(At.RUNS, 99), 1: Doing(At.RETURNED)}),
  )
  def test_no_hang(self, doings: dict[int, Doing]) -> None:
    """Nothing is said of what goes on, or may."""
    self.assertIsNone(judge(doings, ()))

  def test_a_lock_that_is_kept_for_long(self) -> None:
    """It is told, though nobody may wait for it."""
    hang = judge({0: _at(At.RUNS, 99), 1: _at(At.HELD, 31)}, ())
    self.assertEqual(
      hang,
      Hang(
        "host 1 has for more than 30 s run code that keeps Python's lock, or "
        "was stopped, last seen at train.py:12 in step",
        (1,),
      ),
    )

  def test_a_silent_heart(self) -> None:
    """It is named, and what it was last at does not count."""
    doings = {0: _at(At.WAITS, 70), 1: _at(At.WAITS, 70), 2: _at(At.RUNS, 99)}
    hang = judge(doings, (2,))
    assert hang
    self.assertRegex(
      hang.sentence,
      r"^hosts 0 and 1 have waited in a collective for more than 1 min; "
      r"host 2 has not been heard of for more than 30 s: ",
    )
    self.assertEqual(hang.hosts, (2,))

  def test_a_group_that_does_not_form(self) -> None:
    """Whoever has not joined JAX's runtime is named."""
    hang = judge({0: _at(At.JOINS, 15, ""), 1: _at(At.RUNS, 16)}, ())
    assert hang
    self.assertStartsWith(
      hang.sentence, "host 0 has waited for the group to join for more than 10"
    )

  def test_all_wait_at_different_places(self) -> None:
    """After a minute it is told who waits where, as no host stands out."""
    doings = {
      0: _at(At.WAITS, 70, "train.py:20"),
      1: _at(At.WAITS, 65, "train.py:31"),
      2: _at(At.WAITS, 61, "train.py:20"),
    }
    self.assertEqual(
      judge(doings, ()),
      Hang(
        "all hosts have waited for more than 1 min, not all at the same place: "
        "hosts 0 and 2 at train.py:20 in step, host 1 at train.py:31 in step",
        (0, 1, 2),
      ),
    )
    self.assertIsNone(judge({**doings, 2: _at(At.WAITS, 59, "x.py:1")}, ()))

  def test_many_hosts(self) -> None:
    """Rows of them are shortened, and few are told of by themselves."""
    doings = {host: _at(At.WAITS, 7200) for host in range(64)}
    doings |= {host: _at(At.RUNS, 9000, still=9000) for host in range(8, 13)}
    hang = judge(doings, ())
    assert hang
    self.assertStartsWith(
      hang.sentence,
      "hosts 0-7 and 13-63 have waited in a collective for more than 2 h; "
      "host 8 has been at train.py:12 in step for more than 2 h; host 9",
    )
    self.assertEndsWith(hang.sentence, "; 2 more hosts hold them up too")
    self.assertEqual(hang.hosts, tuple(range(8, 13)))

  def test_it_stays_the_same_for_a_while(self) -> None:
    """What is said stays true, so that it is not said again and again."""
    said = {
      judge({0: _at(At.WAITS, t), 1: _at(At.RUNS, t, still=t)}, ())
      for t in range(10, 3600)
    }
    self.assertLen(said, 7)


if __name__ == "__main__":
  absltest.main()
