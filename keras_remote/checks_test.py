import threading
from collections.abc import Callable

from absl.testing import absltest

from keras_remote import errors
from keras_remote.checks import Check, Link, look_at


def _link(
  what: str,
  *needs: str,
  ok: bool | None = True,
  first: Callable[[], object] = lambda: None,
) -> Link:
  def look() -> Check:
    first()
    return Check(what, ok, "seen")

  return Link(what, look, needs)


def _fails(error: Exception) -> Callable[[], object]:
  def fail() -> None:
    raise error

  return fail


class LookTest(absltest.TestCase):
  def test_order(self) -> None:
    """Checks come in the order of their links, whichever ends first."""
    second = threading.Event()
    links = [
      _link("a", first=lambda: second.wait(10)),
      _link("b", first=second.set),
    ]
    self.assertEqual([c.what for c in look_at(links)], ["a", "b"])
    self.assertEmpty(list(look_at([])))

  def test_side_by_side(self) -> None:
    """They wait for each other here: one after the other they would hang."""
    together = threading.Barrier(5)
    links = [_link(str(i), first=lambda: together.wait(10)) for i in range(5)]
    self.assertTrue(all(check.ok for check in look_at(links)))

  def test_needs(self) -> None:
    """What needs a broken link is not looked at, and says which it is."""
    looked: list[str] = []
    links = [
      _link("c", "b", first=lambda: looked.append("c")),
      _link("a", ok=False),
      _link("b", "a", first=lambda: looked.append("b")),
      _link("d", "elsewhere", first=lambda: looked.append("d")),
    ]
    found = {check.what: check for check in look_at(links)}
    self.assertEqual(looked, ["d"])
    self.assertIsNone(found["b"].ok)
    self.assertEqual(found["b"].sentence, "not looked at: it needs a")
    self.assertEqual(found["c"].sentence, "not looked at: it needs b")

  def test_needs_that_are_not_known(self) -> None:
    """What cannot be told of a link says nothing against the next."""
    links = [_link("a", ok=None), _link("b", "a")]
    self.assertEqual([check.ok for check in look_at(links)], [None, True])

  def test_errors(self) -> None:
    """An error of ours is kept; any other one is told."""
    ours, other = errors.StoreError("no room"), RuntimeError("odd")
    links = [_link("a", first=_fails(ours)), _link("b", first=_fails(other))]
    one, two = look_at(links)
    self.assertEqual((one.ok, one.sentence), (False, "no room"))
    self.assertIs(one.error, ours)
    self.assertEqual((two.ok, two.sentence), (False, "RuntimeError: odd"))

  def test_one_that_hangs(self) -> None:
    """It counts as broken after its time, and holds nothing up."""
    end = threading.Event()
    self.addCleanup(end.set)
    links = [
      _link("a", first=lambda: end.wait(60)),
      _link("b", "a"),
      _link("c"),
    ]
    a, b, c = look_at(links, limit=0.1)
    self.assertFalse(a.ok)
    self.assertIn("no answer within", a.sentence)
    self.assertIsNone(b.ok)
    self.assertTrue(c.ok)


if __name__ == "__main__":
  absltest.main()
