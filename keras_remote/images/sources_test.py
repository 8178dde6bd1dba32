"""Requirements as people write them."""

from pathlib import Path

from absl.testing import absltest, parameterized
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_remote import errors
from keras_remote.images import sources

_LINE = st.one_of(
  st.text(max_size=30),
  st.sampled_from(
    [
      *("scipy>=1.11", "-r more.txt", "-e .", "--index-url x", "a @ file:///b"),
      *("git+https://x/y", "./here", "\\", "# no", "x; python_version<'3'"),
      *("-r", "-", "--", "a[b", "a @", "a==", "https://[", "a @ http://[x"),
    ]
  ),
)


class SourcesTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    self.root = Path(self.create_tempdir().full_path)

  def write(self, name: str, text: str) -> Path:
    path = self.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path

  def read(self, text: str) -> sources.Found:
    """What a requirements.txt of this text says."""
    self.write("requirements.txt", text)
    return sources.read(None, self.root)

  def lines(self, found: sources.Found) -> list[str]:
    return [str(line.requirement) for line in found.lines]

  def test_precedence(self) -> None:
    """The option, else requirements.txt, else pyproject.toml, else nothing."""
    self.assertEqual(sources.read(None, self.root), sources.Found())
    self.write("pyproject.toml", '[project]\ndependencies = ["a"]\n')
    self.assertEqual(self.lines(sources.read(None, self.root)), ["a"])
    self.assertEqual(self.lines(self.read("b")), ["b"])
    self.assertEqual(self.lines(sources.read(["c"], self.root)), ["c"])
    self.assertEmpty(sources.read([], self.root).lines)
    gpu = self.write("gpu.txt", "d")
    self.assertEqual(self.lines(sources.read(gpu, self.root)), ["d"])

  def test_lines(self) -> None:
    """Comments and ends of lines are no part of them; markers are."""
    found = self.read(
      "\ufeff# first\n\nscipy >= 1.11, \\\n  < 2  # why\n"
      'numba[x]; python_version < "3.12"\npkg @ https://x.y/z#egg=pkg\n'
    )
    self.assertEqual(
      self.lines(found),
      [
        "scipy<2,>=1.11",
        'numba[x]; python_version < "3.12"',
        "pkg @ https://x.y/z#egg=pkg",
      ],
    )
    self.assertEqual(
      [line.where for line in found.lines],
      [f"requirements.txt, line {n}" for n in (3, 5, 6)],
    )

  def test_files_that_name_others(self) -> None:
    """They are read where they stand, once; what only constrains is apart."""
    self.write("deep/more.txt", "-r ../requirements.txt\nb\n--constraint=c.txt")
    self.write("deep/c.txt", "scipy<2")
    found = self.read("a\n-rdeep/more.txt\n")
    self.assertEqual(self.lines(found), ["a", "b"])
    (limit,) = found.constraints
    self.assertEqual(str(limit), "scipy<2 (deep/c.txt, line 1)")

  @parameterized.parameters(
    *("-e .", "./lib", "../lib", "/lib", "lib/", "x.whl"),
    *("x @ file:///lib", "--editable=.", "file:///lib"),
  )
  def test_what_goes_along(self, line: str) -> None:
    """It is left out, and that is said."""
    found = self.read(f"a\n{line}\n")
    self.assertEqual(self.lines(found), ["a"])
    (note,) = found.notes
    self.assertIn("line 2", note)
    self.assertIn("the project goes along", note)

  @parameterized.parameters(
    ("--index-url https://u:hunter2@x/", "--index-url is not followed"),
    ("-i https://u:hunter2@x/", "-i is not followed"),
    ("--extra-index-url=https://u:hunter2@x/", "UV_INDEX"),
    ("--no-binary :all:", "--no-binary"),
    ("b==1 --hash=sha256:00 --hash=sha256:11", "b==1"),
  )
  def test_what_an_installer_is_not_told(self, line: str, words: str) -> None:
    """A note says so, without what may be a password."""
    found = self.read(f"a\n{line}\n")
    (note,) = found.notes
    self.assertIn("requirements.txt, line 2", note)
    self.assertIn(words, note)
    self.assertNotIn("hunter2", note)

  @parameterized.parameters(
    ("sci py", "'sci py' is no requirement"),
    ("scipy=1", "line 1"),
    ("git+https://x/y", "name @ https"),
    ("-e git+https://x/y", "name @ git"),
    ("x @ https://u:hunter2@y/z", "TOKEN"),
    ("x @ https://u:${}hunter2@y/z", "holds a password"),
    ("x @ git+https://hunter2@y/z", "holds a user's name or token"),
    ("x @ git+https://hunter2:@y/z", "TOKEN"),
    ("x @ https://y/x.whl?token=hunter2", "holds 'token='"),
    ("x @ https://y/x.whl?a=b&X-Goog-Signature=hunter2", "Signature="),
    ("x @ https://y/x.whl?sv=1&sig=hunter2#sha256=0", "holds 'sig='"),
    ("x @ https://y/x.whl#private_token=hunter2", "TOKEN"),
    ("--frobnicate=x", "--frobnicate is no option"),
    ("-r no.txt", "there is no file no.txt"),
    ("-r ../../etc/passwd", "outside of the project"),
  )
  def test_what_is_wrong(self, line: str, words: str) -> None:
    """The error says which line, why, and what to write."""
    with self.assertRaises(errors.ConfigError) as caught:
      self.read(line)
    self.assertIn("requirements.txt, line 1: ", str(caught.exception))
    self.assertIn(words, str(caught.exception))
    self.assertNotIn("hunter2", str(caught.exception))

  @parameterized.parameters(
    *("https://u:${TOKEN}@y/z", "git+https://${TOKEN}@y/z"),
    *("https://y/z?token=${TOKEN}", "https://y/z?tokenizer=3#sha256=00"),
    *("git+ssh://git@y/z@main", "git+ssh://ada@y/z", "git+https://git@y/z"),
    "git+https://y/z@v1#subdirectory=a&egg=x",
  )
  def test_an_address_without_a_secret(self, address: str) -> None:
    """It comes to the installer as it is, which knows what a variable is."""
    found = self.read(f"x @ {address}")
    self.assertEqual(self.lines(found), [f"x @ {address}"])

  @parameterized.parameters(
    ("pyproject.toml", "[project", "is no TOML"),
    ("pyproject.toml", "[project]\ndependencies = 'a'", "a list of texts"),
    ("pyproject.toml", "[project]\ndependencies = [1]", "a list of texts"),
  )
  def test_files_that_are_wrong(self, name: str, text: str, words: str) -> None:
    """The error names the file."""
    self.write(name, text)
    with self.assertRaisesRegex(errors.ConfigError, f"{name}.*{words}"):
      sources.read(None, self.root)

  def test_files_that_cannot_be_read(self) -> None:
    """The error names the file."""
    with self.assertRaisesRegex(errors.ConfigError, "no.txt cannot be read"):
      sources.read(self.root / "no.txt", self.root)
    path = self.root / "latin.txt"
    path.write_bytes(b"\xff\xfe\xfd")
    with self.assertRaisesRegex(errors.ConfigError, "UTF-8"):
      sources.read(path, self.root)

  @given(st.lists(_LINE, max_size=6))
  @settings(suppress_health_check=[HealthCheck.differing_executors])
  def test_any_text(self, lines: list[str]) -> None:
    """It is read, or the error says where it is wrong."""
    text = "\n".join(lines).encode("utf-8", "replace")
    (self.root / "requirements.txt").write_bytes(text)
    try:
      found = sources.read(None, self.root)
    except errors.ConfigError as error:
      self.assertIn("requirements.txt", str(error))
    else:
      self.assertLessEqual(len(found.lines), text.count(b"\n") + 50)


if __name__ == "__main__":
  absltest.main()
