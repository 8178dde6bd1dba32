"""Small results come with the event that says that a container has ended."""

from urllib.parse import unquote

from absl.testing import absltest

from tests.cluster.call_case import CallTest
from tests.fakes.http_proxy import HttpProxy

_CALL = """
import random
import keras_remote

@keras_remote.run(env={{"STORAGE_EMULATOR_HOST": "{gcs}"}})
def train(size):
  import time
  time.sleep(1)
  return random.Random(0).randbytes(size)

job = train.submit({size})
print(len(job.result()))
"""


class LastWordsTest(CallTest):
  def reads(self, size: int) -> list[str]:
    """What a call reads of the store to have a result of this size."""
    if self.cluster.gcs is None:
      self.skipTest("nothing stands between this process and the bucket")
    with HttpProxy(self.cluster.gcs) as proxy:
      printed, _ = self.ran(
        _CALL.format(gcs=self.cluster.gcs, size=size),
        STORAGE_EMULATOR_HOST=proxy.url,
      )
      self.assertEqual(printed, f"{size}\n")
      read = [unquote(r.path) for r in proxy.requests if r.method == "GET"]
    # A first look may find it ended: it ran for too long for that.
    return [path for path in read if "/results/" in path]

  def test_a_small_result(self) -> None:
    """The store is not asked for it."""
    self.assertEqual(self.reads(100), [])

  def test_a_large_result(self) -> None:
    """It is read once."""
    self.assertLen(self.reads(100_000), 1)

  def test_words_that_the_function_forged(self) -> None:
    """They are not taken for an ending: the job's own come after them."""
    printed, _ = self.ran(
      """
      import keras_remote

      @keras_remote.run
      def train():
        with open("/dev/termination-log", "w") as words:
          words.write("keras-remote-ending:eJw=")
        return 7

      print(train())
      """
    )
    self.assertEqual(printed, "7\n")


if __name__ == "__main__":
  absltest.main()
