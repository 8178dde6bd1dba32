"""What is kept back is what git and the defaults say, and it says why."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from absl.testing import absltest, parameterized
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from keras_remote.packaging.ignore import Ignore

_FOLDERS = ("a", "a/b", "a/b/a", "b", "b/c", "a b")
_NAMES = ("a.cx", "bx", "abx", "ba.cx", "[x", "-x", "#ax", "!ax", "a bx", "1x")
_FILES = (
  *(f"{folder}/{name}" for folder in (".", *_FOLDERS) for name in _NAMES),
  *("ab", "b.c", "a/ab", "a/b/c", "b/c/a", "b/c/b", "a b/b", "b/]", "a/b/a/b"),
)
_TREE = (*_FOLDERS, *(name.removeprefix("./") for name in _FILES))

_PIECES = st.sampled_from(
  [
    "a",
    "b",
    "c",
    ".c",
    "x",
    "*",
    "**",
    "?",
    "/",
    "/**/",
    "**/",
    "/**",
    " ",
    "\\ ",
  ]
  + ["[ab]", "[!a]", "[^b]", "[a-c]", "[]-]", "[c-a]", "[[:alpha:]]", "[\\]]"]
  + [
    "[[:digit:]x]",
    "\\*",
    "\\#",
    "#",
    "!",
    "[",
    "\\",
    "-",
    "[!-a]",
    "[[:no:]]",
  ]
)
_PATTERNS = st.builds(
  "{}{}{}".format,
  st.sampled_from(["", "", "!", "/"]),
  st.lists(_PIECES, min_size=1, max_size=5).map("".join),
  st.sampled_from(["", "", "/", " ", "\r"]),
)
_RULES = st.lists(_PATTERNS, max_size=5).map("\n".join)


def _put(path: Path, text: str = "") -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text, newline="")


def _git(root: Path, *arguments: str, given: bytes = b"") -> bytes:
  """What git prints, whatever its user's own configuration is."""
  inherited = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
  done = subprocess.run(
    ("git", "-C", str(root), *arguments),
    input=given,
    env=inherited
    | {
      "GIT_CONFIG_GLOBAL": os.devnull,
      "GIT_CONFIG_SYSTEM": os.devnull,
      "XDG_CONFIG_HOME": os.devnull,
    },
    stdout=subprocess.PIPE,
    check=False,
  )
  if done.returncode not in (0, 1):  # 1: none of the paths is ignored
    raise RuntimeError(f"git ended with {done.returncode}")
  return done.stdout


class _TreeTest(parameterized.TestCase):
  def setUp(self) -> None:
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.root = Path(folder.name).resolve()

  def put(self, *names: str) -> None:
    for name in names:
      _put(self.root / name)

  def kept_back(self, *names: str) -> list[str]:
    """Which of the names stay; one of a folder ends with a slash."""
    ignore = Ignore(self.root)
    return [
      name
      for name in names
      if ignore.ignored(name.rstrip("/"), name.endswith("/"))
    ]


class GitTest(_TreeTest):
  """The rules of git's files, against git itself."""

  def setUp(self) -> None:
    super().setUp()
    _git(self.root, "init", "-q")
    for folder in _FOLDERS:
      (self.root / folder).mkdir(parents=True)
    self.put(*_FILES)

  @settings(max_examples=80, deadline=None)
  @example("bx\n!a/bx", "", "")
  @example("!a/bx\nbx", "", "")
  @example("/a[--1]b", "", "a[!x]b")
  @example("a/**\n!a/b/", "!bx", "")
  @given(_RULES, _RULES, _RULES)
  def test_ignores_what_git_ignores(
    self, top: str, nested: str, exclude: str
  ) -> None:
    """Any rules at the top, in a folder and in info/exclude mean the same."""
    # Stars behind a literal: git's manual says `*`, its code at times `**`.
    assume(not re.search(r"[^/!\n]\*\*", f"{top}\n{nested}\n{exclude}"))
    _put(self.root / ".gitignore", top)
    _put(self.root / "a/.gitignore", nested)
    _put(self.root / ".git/info/exclude", exclude)
    ignore = Ignore(self.root)
    ours = {
      path
      for path in _TREE
      if ignore.ignored(path, (self.root / path).is_dir())
    }
    listed = "\0".join(_TREE).encode()
    options = ("--no-index", "-z", "--stdin")
    found = _git(self.root, "check-ignore", *options, given=listed)
    self.assertEqual(ours, set(found.decode().split("\0")) - {""})

  def test_rules_above_the_root_count(self) -> None:
    """A project inside a repository obeys the repository's rules."""
    _put(self.root / ".gitignore", "*.cx\n/a/b/1x\n/1x")
    ignore = Ignore(self.root / "a")
    self.assertTrue(ignore.ignored("b/a.cx", is_dir=False))
    self.assertTrue(ignore.ignored("b/1x", is_dir=False))
    self.assertFalse(ignore.ignored("1x", is_dir=False))

  def test_rules_above_that_keep_the_root_back_do_not_count(self) -> None:
    """Whoever runs from an ignored folder wants what is in it."""
    _put(self.root / ".gitignore", "*\n")
    self.assertFalse(Ignore(self.root / "a").ignored("bx", is_dir=False))


class DefaultsTest(_TreeTest):
  """What stays without any rule of the user's."""

  @parameterized.parameters(
    (".git/", "HEAD"),
    (".venv/", "bin/python"),
    ("__pycache__/", "a.pyc"),
    (".ipynb_checkpoints/", "a.ipynb"),
    ("node_modules/", "a/index.js"),
  )
  def test_folders_stay_with_all_in_them(self, folder: str, inner: str) -> None:
    """At any depth."""
    names = (folder, f"src/{folder}", f"src/{folder}{inner}")
    self.assertSequenceEqual(self.kept_back(*names), names)

  def test_secrets_stay(self) -> None:
    """Values of the environment and private keys, but not their samples."""
    secrets = (".env", "a/.env.local", "id_rsa", "id_ed25519.pub", "b/tls.key")
    secrets += ("cert.pem", "my-service-account-1.json", ".netrc")
    harmless = (".env.example", "environment.py", "keys.py", "settings.json")
    self.assertSequenceEqual(self.kept_back(*secrets, *harmless), secrets)

  @parameterized.parameters("pyvenv.cfg", "conda-meta/history")
  def test_an_environment_of_any_name_stays(self, mark: str) -> None:
    """It is known by what lies at its top; `env/` alone may be a package."""
    self.put(f"tools/my-env/{mark}", "env/cartpole.py")
    self.assertEqual(
      self.kept_back("tools/my-env/lib/", "tools/", "env/", "env/cartpole.py"),
      ["tools/my-env/lib/"],
    )

  def test_git_rules_bring_no_default_back(self) -> None:
    """`!*/` in a .gitignore that lists what to keep is not about .venv."""
    _put(self.root / ".gitignore", "*\n!*/\n!*.py\n!.env\n")
    names = (".venv/", ".env", "src/", "src/a.py", "src/a.txt")
    self.assertEqual(self.kept_back(*names), [".venv/", ".env", "src/a.txt"])


class OwnRulesTest(_TreeTest):
  """The rules of .kerasremoteignore."""

  def own(self, rules: str, folder: str = ".") -> None:
    _put(self.root / folder / ".kerasremoteignore", rules)

  def test_they_beat_git_however_deep(self) -> None:
    """What git does not track is sent where the user's own rule says so."""
    _put(self.root / "data/.gitignore", "*.csv")
    self.own("!small.csv\n*.md")
    names = ("data/small.csv", "data/large.csv", "README.md")
    self.assertEqual(self.kept_back(*names), ["data/large.csv", "README.md"])

  def test_they_bring_a_default_back_by_its_name(self) -> None:
    """Only that: what lies in the folder is judged by itself."""
    self.own("!.env\n!node_modules/\n")
    names = (".env", "node_modules/", "node_modules/a.js", "node_modules/a.pem")
    self.assertEqual(self.kept_back(*names), ["node_modules/a.pem"])

  def test_wildcards_alone_bring_no_default_back(self) -> None:
    """A list of what to keep does not send the virtual environment."""
    self.own("*\n!*/\n!*.py\n")
    names = (".venv/", ".git/", "src/", "src/a.py", "src/a.txt")
    self.assertEqual(self.kept_back(*names), [".venv/", ".git/", "src/a.txt"])

  def test_the_deepest_file_wins(self) -> None:
    """A rule nearer to the file beats one further up."""
    self.own("*.bin")
    self.own("!*.bin", "models")
    names = ("a.bin", "models/a.bin")
    self.assertEqual(self.kept_back(*names), ["a.bin"])

  def test_a_file_that_is_no_text_is_no_end(self) -> None:
    """Rules are bytes; a name that is not UTF-8 can be ruled out."""
    (self.root / ".gitignore").write_bytes(b"\xef\xbb\xbf*.log\n\xff*\n")
    self.assertEqual(
      self.kept_back("a.log", os.fsdecode(b"\xffa"), "b"),
      ["a.log", os.fsdecode(b"\xffa")],
    )


class ExplainTest(_TreeTest):
  """The sentence about a file that did not travel."""

  def setUp(self) -> None:
    super().setUp()
    _put(self.root / ".gitignore", "# data\n\n*.csv\nruns/\n")
    self.put("data/x.csv", "runs/1/x.txt", ".env", "a.py")

  @parameterized.parameters(
    (
      "data/x.csv",
      "data/x.csv is kept back by the rule '*.csv' (.gitignore line 3)",
    ),
    ("./data/../data/x.csv", "data/x.csv is kept back by"),
    (
      "runs/1/x.txt",
      "runs/1/x.txt, in runs/, is kept back by the rule 'runs/'",
    ),
    (".env", ".env is kept back by the rule '.env' (a default)"),
  )
  def test_names_the_rule_and_where_it_is(self, path: str, start: str) -> None:
    """So that the user finds it."""
    self.assertStartsWith(Ignore(self.root).explain(path) or "", start)

  @parameterized.parameters("data/x.csv", "runs/1/x.txt", ".env")
  def test_its_cure_works(self, path: str) -> None:
    """The line it says to add sends the file."""
    sentence = Ignore(self.root).explain(path) or ""
    rule = sentence.rpartition("; '")[2].partition("'")[0]
    _put(self.root / ".kerasremoteignore", rule)
    self.assertIsNone(Ignore(self.root).explain(path))

  @parameterized.parameters("a.py", "missing.py", "../x.csv", "/x.csv", ".")
  def test_says_nothing_of_what_travels_or_is_elsewhere(
    self, path: str
  ) -> None:
    """There is no rule to blame."""
    self.assertIsNone(Ignore(self.root).explain(path))


if __name__ == "__main__":
  absltest.main()
