from absl.testing import absltest, parameterized

from keras_remote import clock, errors
from keras_remote.images.build_log import (
  BuildLog,
  last_lines,
  printed,
  story,
)
from keras_remote.images.container_builder import Build
from tests.fakes.memory_store import MemoryStore

_MARKED = 'Step #1 - "image": '


class BuildLogTest(absltest.TestCase):
  def test_it_grows(self) -> None:
    """Each line is given once, when it is whole."""
    store = MemoryStore()
    log = BuildLog(store, "log")
    self.assertEmpty(log.more())
    store.write("log", b"one\ntw")
    self.assertEqual(log.more(), ["one"])
    store.write("log", b"one\ntwo\r\n\xff\n")
    self.assertEqual(log.more(), ["two", "\N{REPLACEMENT CHARACTER}"])
    self.assertEmpty(log.more())
    self.assertEqual(log.lines, ["one", "two", "\N{REPLACEMENT CHARACTER}"])

  def test_it_cannot_be_read(self) -> None:
    """That is noted, and tried no more."""

    class Closed(MemoryStore):
      def read_range(
        self, key: str, start: int, end: int | None = None
      ) -> bytes:
        raise errors.StoreError("closed" if not log.unread else "again")

    log = BuildLog(Closed(), "log")
    self.assertEmpty(log.more() + log.more())
    self.assertEqual(log.unread, "closed")


class LinesTest(parameterized.TestCase):
  @parameterized.parameters(
    (f"{_MARKED}Resolved 2 packages", "Resolved 2 packages"),
    ("Step #0: without a name", "without a name"),
    (_MARKED.rstrip(), ""),
    ('Starting Step #1 - "image"', ""),
    ("PUSH", ""),
  )
  def test_what_a_step_printed(self, line: str, text: str) -> None:
    """Cloud Build's own lines are none of a step's."""
    self.assertEqual(printed(line), text)

  def test_the_end_of_the_step_that_failed(self) -> None:
    """Indented as it was printed, and at most 30 lines."""
    lines = [
      'Step #0 - "stack": before',
      *(f"{_MARKED}line {i}" for i in range(99)),
      f"{_MARKED}  indented",
      "ERROR",
    ]
    found = last_lines(lines, 1).split("\n")
    self.assertEqual(found[0], "line 70")
    self.assertEqual(found[-1], "  indented")

  def test_where_no_step_failed(self) -> None:
    """The end of everything is shown."""
    self.assertEqual(last_lines(["BUILD", "", "ERROR"], None), "BUILD\nERROR")
    self.assertEqual(last_lines(["BUILD", "ERROR"], 7), "BUILD\nERROR")


class StoryTest(absltest.TestCase):
  def test_an_account_that_may_not_push(self) -> None:
    """The command that allows it names the account."""
    log = BuildLog(MemoryStore(), "log")
    log.lines.append(
      f"{_MARKED}denied: Permission "
      '"artifactregistry.repositories.uploadArtifacts" denied on resource'
    )
    build = Build(
      id="1",
      created=clock.now(),
      status="FAILURE",
      waits=False,
      ended=True,
      failed_lately=True,
      log="gs://logs",
      log_key="log-1.txt",
      url="https://log",
      digests={},
      step=1,
      step_name="image",
      detail="",
      account="12-compute@developer.example",
    )
    self.assertEqual(
      story(build, log, "p"),
      "the image could not be built: its step 'image' failed\n"
      'denied: Permission "artifactregistry.repositories.uploadArtifacts" '
      "denied on resource\n"
      "the build's service account may not push there: `gcloud projects "
      "add-iam-policy-binding p "
      "--member=serviceAccount:12-compute@developer.example "
      "--role=roles/artifactregistry.writer`\n"
      "the whole log: https://log",
    )


if __name__ == "__main__":
  absltest.main()
