import base64

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.backend.k8s import secrets
from keras_remote.backend.k8s.objects import SECRETS
from tests.fakes.kubernetes_case import KubernetesCase


class NamesTest(parameterized.TestCase):
  @parameterized.parameters("A", "_a1", "a.b-c", "KERAS_BACKEND")
  def test_right_ones(self, name: str) -> None:
    """What a Secret and every version of Kubernetes takes."""
    secrets.check_names({name: "any\nvalue ü"})

  @parameterized.parameters("1A", "a b", "ü", "a/b", "A\n", "")
  def test_wrong_ones(self, name: str) -> None:
    """They are refused, and the value is not shown."""
    with self.assertRaises(errors.ConfigError) as raised:
      secrets.check_names({name: "hunter2"})
    self.assertNotIn("hunter2", str(raised.exception))

  def test_values(self) -> None:
    """What is no text cannot be in a container's environment."""
    with self.assertRaisesRegex(errors.ConfigError, "TOKEN.*UTF-8"):
      secrets.check_names({"TOKEN": "\udcff"})

  def test_a_variable_named_as_the_key(self) -> None:
    """It is another item: nobody gets the key for it."""
    found = secrets.job_secret("job", {}, b"the key", {"key": "hunter2"})
    (variable,) = secrets.variables("job", ["key"])
    item = variable["valueFrom"]["secretKeyRef"]["key"]
    self.assertEqual(base64.b64decode(found["data"][item]), b"hunter2")
    self.assertEqual(base64.b64decode(found["data"][secrets.KEY]), b"the key")

  def test_what_it_installs(self) -> None:
    """It has an item of its own, and none where that is nothing."""
    found = secrets.job_secret("job", {}, b"the key", {"recipe": "x"}, b"{}")
    self.assertEqual(base64.b64decode(found["data"][secrets.RECIPE]), b"{}")
    self.assertLen(found["data"], 3)
    bare = secrets.job_secret("job", {}, b"the key", {"recipe": "x"})
    self.assertNotIn(secrets.RECIPE, bare["data"])


class ClusterKeyTest(KubernetesCase):
  def test_the_first_makes_it(self) -> None:
    """All others get the same."""
    first = secrets.cluster_key(self.cluster, {})
    self.assertLen(first, 32)
    self.assertEqual(secrets.cluster_key(self.cluster, {}), first)

  def test_two_at_once(self) -> None:
    """Who was slower takes the other's."""
    other = secrets.job_secret(secrets.KEY_SECRET, {}, b"k" * 32, {})

    def race(request: object) -> None:
      if getattr(request, "method", "") == "POST":
        self.put(SECRETS, other)

    self.server.fault = race
    self.assertEqual(secrets.cluster_key(self.cluster, {}), b"k" * 32)

  def test_who_may_not_read_it(self) -> None:
    """The right that is missing is named, with the command that gives it."""
    self.server.fault = lambda request: 403
    with self.assertRaisesRegex(
      errors.ClusterAccessError, "--resource-name=keras-remote-key"
    ):
      secrets.cluster_key(self.cluster, {})

  def test_what_is_no_key(self) -> None:
    """It is not used."""
    self.put(SECRETS, secrets.job_secret(secrets.KEY_SECRET, {}, b"k", {}))
    with self.assertRaisesRegex(errors.ClusterError, "holds no key"):
      secrets.cluster_key(self.cluster, {})


if __name__ == "__main__":
  absltest.main()
