import os
import threading
from collections.abc import Sequence
from pathlib import Path

from absl.testing import absltest

from keras_remote import credentials, errors
from keras_remote.checks import Check, Link, look_at
from keras_remote.credentials import AccessToken, ensure_credentials
from tests.fakes.environment import environment
from tests.fakes.google_cloud import WHO, GoogleCloud


def _broken(
  what: str, error: errors.KerasRemoteError | None, *, vital: bool = True
) -> Link:
  check = Check(what, False, f"no {what}", f"`make {what}`", error)
  return Link(what, lambda: check, vital=vital)


class GoogleCase(absltest.TestCase):
  """Nobody is logged in to a Google Cloud of this machine."""

  def setUp(self) -> None:
    super().setUp()
    self.cloud = self.enter_context(GoogleCloud())
    self.folder = Path(self.create_tempdir().full_path)
    self.enter_context(environment(**self.cloud.environ(self.folder)))
    # What a developer of this project may be.
    os.environ.pop("GOOGLE_APPLICATION_CREDENTIALS", None)

  def log_in(self) -> None:
    """As by `gcloud auth application-default login`."""
    key = self.cloud.key(self.folder)
    folder = Path(os.environ["CLOUDSDK_CONFIG"])
    folder.mkdir(exist_ok=True)
    key.rename(folder / "application_default_credentials.json")

  def gcloud(self, *, code: int = 0) -> None:
    """A gcloud whose log-in succeeds, or exits with this code."""
    key = self.cloud.key(self.folder)
    folder = os.environ["CLOUDSDK_CONFIG"]
    programs = self.folder / "bin"
    programs.mkdir()
    program = programs / "gcloud"
    program.write_text(
      "#!/bin/sh\n"
      f'echo "$@" >> {self.folder}/asked\n'
      f"mkdir -p {folder}\n"
      f"cp {key} {folder}/application_default_credentials.json\n"
      f"exit {code}\n"
    )
    program.chmod(0o700)
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"

  def look(self) -> Check:
    (check,) = look_at([credentials.link()])
    return check


class AccessTokenTest(GoogleCase):
  def test_nobody(self) -> None:
    """The error says how to log in."""
    with self.assertRaisesRegex(errors.CredentialsError, "gcloud auth"):
      AccessToken()

  def test_a_token(self) -> None:
    """One is asked for when it is needed, and kept."""
    self.log_in()
    token = AccessToken()
    self.assertEmpty(self.cloud.tokens)
    self.assertEqual([token.text() for _ in range(2)], ["token-0"] * 2)
    token.renew()
    self.assertEqual(token.text(), "token-1")
    self.assertEqual(token.who, WHO)

  def test_a_token_says_who(self) -> None:
    """Else a cluster knows a number, and no right of an address counts."""
    self.log_in()
    AccessToken().text()
    (scopes,) = self.cloud.scopes
    asked = {scope.rpartition("/")[2] for scope in scopes}
    self.assertEqual(asked, {"cloud-platform", "userinfo.email"})

  def test_a_token_near_its_end(self) -> None:
    """It is not used any more."""
    self.log_in()
    self.cloud.lifetime = 60
    token = AccessToken()
    self.assertEqual([token.text(), token.text()], ["token-0", "token-1"])

  def test_many_at_once(self) -> None:
    """Threads that need one get the same."""
    self.log_in()
    token, found = AccessToken(), list[str]()
    threads = [
      threading.Thread(target=lambda: found.append(token.text()))
      for _ in range(8)
    ]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join(30)
    self.assertEqual(found, ["token-0"] * 8)

  def test_a_log_in_that_ended(self) -> None:
    """It is another error than a network that is away for a moment."""
    self.log_in()
    token = AccessToken()
    self.cloud.revoked = True
    with self.assertRaisesRegex(errors.CredentialsError, "gcloud auth"):
      token.text()
    self.cloud.refuse()
    with self.assertRaises(ConnectionError):
      token.text()


class LinkTest(GoogleCase):
  def test_somebody(self) -> None:
    """It says who."""
    self.log_in()
    check = self.look()
    self.assertTrue(check.ok)
    self.assertIn(WHO, check.sentence)

  def test_nobody(self) -> None:
    """It says how to log in."""
    check = self.look()
    self.assertFalse(check.ok)
    self.assertIn("gcloud auth application-default login", check.sentence)

  def test_nobody_answers(self) -> None:
    """That is no reason to log in."""
    self.log_in()
    self.cloud.refuse()
    check = self.look()
    self.assertFalse(check.ok)
    self.assertIsNone(check.error)
    self.assertIn("network", check.cure)


class LogInTest(GoogleCase):
  def test_by_gcloud(self) -> None:
    """It is gcloud that logs in, as it is told by hand."""
    self.gcloud()
    credentials.log_in()
    asked = (self.folder / "asked").read_text()
    self.assertEqual(asked, "auth application-default login\n")
    self.assertTrue(self.look().ok)

  def test_a_log_in_that_fails(self) -> None:
    """The error says which command did."""
    self.gcloud(code=1)
    with self.assertRaisesRegex(errors.CredentialsError, "gcloud auth"):
      credentials.log_in()

  def test_no_gcloud(self) -> None:
    """The error says where it comes from."""
    os.environ["PATH"] = str(self.folder)
    with self.assertRaisesRegex(errors.CredentialsError, "not installed"):
      credentials.log_in()


class EnsureTest(GoogleCase):
  def ensure(
    self, links: Sequence[Link], *, answer: bool | None = None
  ) -> bool:
    self.questions: list[str] = []

    def ask(question: str) -> bool:
      self.questions.append(question)
      return bool(answer)

    return ensure_credentials(links, ask=None if answer is None else ask)

  def test_all_is_there(self) -> None:
    """Nobody is asked anything, nor is what calls can do without missed."""
    self.log_in()
    links = [credentials.link(), _broken("quota", None, vital=False)]
    self.assertFalse(self.ensure(links, answer=True))
    self.assertEmpty(self.questions)

  def test_one_thing_is_missing(self) -> None:
    """The error is the very one that a call would raise."""
    error = errors.StoreAccessError("the bucket refuses")
    with self.assertRaises(errors.StoreAccessError) as caught:
      self.ensure(
        [_broken("bucket", error), Link("a", lambda: Check("a", True, ""))]
      )
    self.assertIs(caught.exception, error)

  def test_several_things_are_missing(self) -> None:
    """One error names all of them, each with its cure."""
    links = [_broken("bucket", None), _broken("namespace", None)]
    with self.assertRaises(errors.CredentialsError) as caught:
      self.ensure(links)
    self.assertEqual(
      str(caught.exception),
      "2 things are missing here for a call:\n"
      "- bucket: no bucket: `make bucket`\n"
      "- namespace: no namespace: `make namespace`",
    )

  def test_logging_in(self) -> None:
    """Who says yes is logged in, and the call goes on."""
    self.gcloud()
    self.assertTrue(self.ensure([credentials.link()], answer=True))
    self.assertLen(self.questions, 1)

  def test_saying_no(self) -> None:
    """The error says what to type later."""
    self.gcloud()
    with self.assertRaisesRegex(errors.CredentialsError, "gcloud auth"):
      self.ensure([credentials.link()], answer=False)
    self.assertFalse((self.folder / "asked").exists())

  def test_nobody_to_ask(self) -> None:
    """As in CI: nothing is started."""
    self.gcloud()
    with self.assertRaisesRegex(errors.CredentialsError, "gcloud auth"):
      self.ensure([credentials.link()])
    self.assertFalse((self.folder / "asked").exists())

  def test_what_is_missing_besides(self) -> None:
    """It is told after the log-in, not only at the next call."""
    self.gcloud()
    error = errors.StoreError("no bucket")
    links = [credentials.link(), _broken("bucket", error)]
    with self.assertRaises(errors.StoreError) as caught:
      self.ensure(links, answer=True)
    self.assertIs(caught.exception, error)


if __name__ == "__main__":
  absltest.main()
