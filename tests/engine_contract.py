"""What holds of every engine: `Engine` says it, and this suite tests it."""

import threading
from contextlib import AbstractContextManager
from typing import Any

from absl.testing import parameterized

from keras_remote.cli.infra.engine import (
  Change,
  Engine,
  EngineError,
  Event,
  LockedError,
  Op,
  Program,
  Stage,
)
from keras_remote.progress import Step

_WHO = r"created by \S+@\S+ \(pid \d+\) at \S+"


class EngineContract(parameterized.TestCase):
  """A child has an engine, and what that works on."""

  def engine(self) -> Engine:
    """Another engine of the same stack, as another process has it."""
    raise NotImplementedError

  def things(self, **wanted: dict[str, Any]) -> Program:
    """A program that registers these, each with its inputs, one by one.

    Each needs those before it.
    `fails` is what their provider then says.
    """
    raise NotImplementedError

  def exists(self, name: str) -> bool:
    """Whether the provider has it."""
    raise NotImplementedError

  def in_use(self, name: str) -> AbstractContextManager[None]:
    """In this block its provider removes it not: "Error 400: it is in use"."""
    raise NotImplementedError

  def killed_at(self, name: str, program: Program) -> None:
    """The process that makes this program true dies while it makes that."""
    raise NotImplementedError

  def up(self, **wanted: dict[str, Any]) -> dict[str, Op]:
    """What happens to each thing, by its name."""
    return _ops(self.engine().up(self.things(**wanted), self.events.append))

  def setUp(self) -> None:
    super().setUp()
    self.events: list[Event | Step] = []

  def names(self) -> list[str]:
    """Of the stack's resources."""
    return sorted(each.name for each in self.engine().resources())

  def test_first_up(self) -> None:
    """All is made, and each thing is told as it begins and is done."""
    made = self.up(a={"x": 1}, b={})
    self.assertEqual(made, {"a": Op.CREATE, "b": Op.CREATE})
    self.assertEqual(self.names(), ["a", "b"])
    self.assertTrue(self.exists("a") and self.exists("b"))
    told = [e for e in self.events if isinstance(e, Event)]
    for name in ("a", "b"):
      phases = [e.stage for e in told if e.change.resource.name == name]
      self.assertEqual(phases, [Stage.BEGUN, Stage.DONE])
    (a,) = (r for r in self.engine().resources() if r.name == "a")
    self.assertEqual(a.inputs["x"], 1)
    self.assertEqual(self.engine().pending(), ())

  def test_preview(self) -> None:
    """It tells what `up` would do, and does nothing."""
    wanted = self.things(a={"x": 1}, b={})
    told = _ops(self.engine().preview(wanted))
    self.assertEqual(told, {"a": Op.CREATE, "b": Op.CREATE})
    self.assertEqual(self.names(), [])
    self.assertFalse(self.exists("a"))

  def test_up_again_and_changed(self) -> None:
    """The same changes nothing; what is changed is, what is left out goes."""
    self.up(a={"x": 1}, b={})
    self.assertEqual(self.up(a={"x": 1}, b={}), {"a": Op.SAME, "b": Op.SAME})
    told = _ops(self.engine().preview(self.things(a={"x": 2}, c={})))
    expected = {"a": Op.UPDATE, "b": Op.DELETE, "c": Op.CREATE}
    self.assertEqual(told, expected)
    self.assertEqual(self.up(a={"x": 2}, c={}), expected)
    self.assertEqual(self.names(), ["a", "c"])
    self.assertFalse(self.exists("b"))

  def test_failure_half_way(self) -> None:
    """It says what failed, and why; the next `up` goes on."""
    self.up(a={})
    with self.assertRaises(EngineError) as caught:
      self.up(a={}, b={"fails": "googleapi: Error 409: there is one"})
    failed = [f for f in caught.exception.failures if f.change]
    self.assertLen(failed, 1)
    change = failed[0].change
    assert change
    self.assertEqual((change.op, change.resource.name), (Op.CREATE, "b"))
    self.assertIn("Error 409: there is one", failed[0].text)
    self.assertEqual(self.names(), ["a"])
    self.assertEqual(self.up(a={}, b={}), {"a": Op.SAME, "b": Op.CREATE})

  def test_program_that_raises(self) -> None:
    """What it raises is said, though no resource failed."""

    def program() -> None:
      raise ValueError("of the program")

    with self.assertRaisesRegex(EngineError, "of the program") as caught:
      self.engine().up(program, self.events.append)
    changes = {failure.change for failure in caught.exception.failures}
    self.assertEqual(changes, {None})

  def test_killed(self) -> None:
    """Its lock stays, with who holds it; then it is seen what it was at."""
    self.up(a={})
    self.killed_at("b", self.things(a={}, b={}))
    with self.assertRaisesRegex(LockedError, _WHO):
      self.up(a={}, b={})
    self.engine().unlock()
    self.assertEqual([r.name for r in self.engine().pending()], ["b"])
    self.engine().refresh()
    self.assertEqual(self.engine().pending(), ())
    self.assertEqual(self.up(a={}, b={}), {"a": Op.SAME, "b": Op.CREATE})

  def test_two_at_once(self) -> None:
    """One works, the other is told that the stack is locked."""
    goes_on, begun = threading.Event(), threading.Event()
    things = self.things(a={})

    def slow() -> None:
      begun.set()
      goes_on.wait()
      things()

    first = threading.Thread(
      target=self.engine().up, args=(slow, self.events.append)
    )
    first.start()
    try:
      begun.wait()
      with self.assertRaisesRegex(LockedError, _WHO):
        self.up(b={})
    finally:
      goes_on.set()
      first.join()
    self.assertEqual(self.names(), ["a"])

  def test_destroy(self) -> None:
    """All is removed, once; of nothing, that is no error."""
    self.assertEqual(self.engine().destroy(self.events.append), ())
    self.up(a={}, b={})
    gone = _ops(self.engine().destroy(self.events.append))
    self.assertEqual(gone, {"a": Op.DELETE, "b": Op.DELETE})
    self.assertFalse(self.exists("a") or self.exists("b"))
    self.assertEqual(self.names(), [])
    self.assertEqual(self.engine().destroy(self.events.append), ())

  def test_destroy_and_keep(self) -> None:
    """What is kept is there, and no longer the stack's."""
    self.up(a={}, b={})
    keep = [r.key for r in self.engine().resources() if r.name == "a"]
    self.engine().destroy(self.events.append, keep=keep)
    self.assertTrue(self.exists("a"))
    self.assertFalse(self.exists("b"))
    self.assertEqual(self.names(), [])

  def test_destroy_half_way(self) -> None:
    """What could not go does the next time, with what then was to be kept."""
    self.up(a={}, b={})
    keep = [r.key for r in self.engine().resources() if r.name == "a"]
    with self.in_use("b"), self.assertRaises(EngineError) as caught:
      self.engine().destroy(self.events.append, keep=keep)
    (failed,) = (f for f in caught.exception.failures if f.change)
    assert failed.change
    self.assertEqual(failed.change.op, Op.DELETE)
    self.assertEqual(failed.change.resource.name, "b")
    self.assertIn("Error 400: it is in use", failed.text)
    self.assertTrue(self.exists("a") and self.exists("b"))
    self.assertEqual(self.names(), ["a", "b"])
    self.engine().destroy(self.events.append)
    self.assertFalse(self.exists("a") or self.exists("b"))
    self.assertEqual(self.names(), [])

  def test_forget(self) -> None:
    """What is forgotten is there, and no longer the stack's."""
    self.engine().forget(["nothing"])
    self.up(a={}, b={})
    keys = [r.key for r in self.engine().resources() if r.name == "b"]
    self.engine().forget(keys)
    self.assertEqual(self.names(), ["a"])
    self.assertTrue(self.exists("b"))

  def test_nothing_yet(self) -> None:
    """Of a stack that nobody made there is nothing to tell or to unlock."""
    engine = self.engine()
    self.assertEqual((engine.resources(), engine.pending()), ((), ()))
    engine.unlock()

  def test_refresh(self) -> None:
    """What there is stays as it is, where it is as it was."""
    self.up(a={"x": 1})
    changes = self.engine().refresh()
    self.assertEqual(_ops(changes), {"a": Op.SAME})


def _ops(changes: tuple[Change, ...]) -> dict[str, Op]:
  return {change.resource.name: change.op for change in changes}
