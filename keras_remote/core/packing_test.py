"""What of a call is sent, and what is said of it."""

from pathlib import Path
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote.core import packing
from keras_remote.core.context import JobContext, job_context
from keras_remote.pickling.reference_test import written_module
from keras_remote.progress import Step, silent

_SECRET = "hunter2-and-more"


class PackCallTest(parameterized.TestCase):
  def context(self, **options: object) -> JobContext:
    project = Path(self.create_tempdir("project").full_path)
    return job_context({"working_dir": project, **options})

  def test_variables_stay_here(self) -> None:
    """Their values are in no source that travels, and in no parameter."""
    module = written_module(
      self, f"TOKEN = {_SECRET!r}\n\ndef train(url): return url + 1"
    )
    packed = packing.pack_call(
      self.context(env={"TOKEN": _SECRET}),
      module.train,
      (1,),
      {},
      {"url": f"https://{_SECRET}@host"},
      silent,
    )
    assert packed.stream
    with packed.stream:
      data = packed.stream.read()
    self.assertIn(b"return url + 1", data)
    self.assertNotIn(_SECRET.encode(), data)
    self.assertEqual(packed.entry.params, {"url": "https://[redacted]@host"})

  def test_sources_keep_their_lines(self) -> None:
    """A value of several lines is hidden in as many: tracebacks count them."""
    module = written_module(
      self, 'KEY = """-----BEGIN\nhunter2hunter2\nEND"""\ndef f(): 1 / 0'
    )
    value = "-----BEGIN\nhunter2hunter2\nEND"
    packed = packing.pack_call(
      self.context(env={"KEY": value}), module.f, (), {}, {}, silent
    )
    assert packed.stream
    with packed.stream:
      data = packed.stream.read()
    self.assertNotIn(b"hunter2", data)
    self.assertIn(b'[redacted]\nEND"""\ndef f(): 1 / 0', data)

  @parameterized.parameters((99_990_000, False), (100_000_001, True))
  def test_large_data(self, size: int, warned: bool) -> None:
    """From 100 MB on it is said what is large, and where it better belongs."""
    steps: list[Step] = []
    data: Any = bytes(size)
    packed = packing.pack_call(
      self.context(), len, (data,), {}, {"data": data}, steps.append
    )
    assert packed.stream
    packed.stream.close()
    said = "".join(step.what for step in steps if step.warning)
    self.assertEqual("the call is 100 MB" in said, warned)
    self.assertEqual("(100 MB): better load" in said, warned)


if __name__ == "__main__":
  absltest.main()
