import threading

from absl.testing import absltest

from keras_remote.core.turns import Turns


class TurnsTest(absltest.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.turns = Turns()
    self.order: list[str] = []

  def ask(self, name: str) -> threading.Thread:
    """A thread that asks for its turn, and waits by now."""
    before = self.turns.waiting

    def take() -> None:
      with self.turns:
        self.order.append(name)

    thread = threading.Thread(target=take)
    thread.start()
    while self.turns.waiting == before:
      threading.Event().wait(0.001)
    return thread

  def test_who_comes_again_at_once(self) -> None:
    """Those who wait come first, in the order in which they came."""
    with self.turns:
      threads = [self.ask("one"), self.ask("two")]
    with self.turns:
      self.order.append("again")
    for thread in threads:
      thread.join(20)
    self.assertEqual(self.order, ["one", "two", "again"])

  def test_what_is_raised_meanwhile(self) -> None:
    """The next one has its turn."""
    with self.assertRaisesRegex(ValueError, "odd"), self.turns:
      raise ValueError("odd")
    with self.turns:
      self.assertEqual(self.turns.waiting, 0)


if __name__ == "__main__":
  absltest.main()
