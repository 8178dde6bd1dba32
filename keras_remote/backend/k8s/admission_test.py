from pathlib import Path

from absl.testing import absltest, parameterized

from keras_remote import errors
from keras_remote.backend.base import Wanted
from keras_remote.backend.k8s import admission
from keras_remote.backend.k8s.objects import ACCOUNTS, JOBS, Kind, Object
from keras_remote.home import Home, ensure
from tests.fakes.api_server import Request
from tests.fakes.kubernetes_case import KubernetesCase

_WARNING = (
  'would violate PodSecurity "restricted:latest": runAsNonRoot != true (pod or '
  'container "runner" must set securityContext.runAsNonRoot=true)'
)


def _manifest() -> Object:
  return {"metadata": {"name": "job"}}


class RestrictedTest(KubernetesCase):
  def setUp(self) -> None:
    super().setUp()
    self.home = Home(ensure(Path(self.create_tempdir().full_path, "home")))

  def restricted(self) -> bool:
    return admission.restricted(self.cluster, self.home, _manifest)

  @parameterized.parameters(
    (_WARNING, True),
    ("", False),
    (_WARNING.replace("restricted", "baseline"), False),
    ("something else", False),
  )
  def test_what_the_server_warns_of(self, warning: str, expected: bool) -> None:
    """It is asked once, and makes nothing."""
    self.server.warning = warning
    self.assertEqual(self.restricted(), expected)
    self.assertEqual(self.restricted(), expected)
    self.assertLen(self.server.requests, 1)
    self.assertIsNone(self.found(JOBS, "job"))

  def test_a_server_that_cannot_say(self) -> None:
    """It is asked anew the next time."""
    self.server.fault = lambda request: 400
    self.assertFalse(self.restricted())
    self.server.fault = lambda request: None
    self.server.warning = _WARNING
    self.assertTrue(self.restricted())

  @parameterized.parameters(
    ("FailedCreate", 'pods "x" is forbidden: violates PodSecurity "res', True),
    ("FailedCreate", 'pods "x" is forbidden: exceeded quota: few', False),
    ("FailedMount", "violates PodSecurity", False),
  )
  def test_a_namespace_that_has_changed(
    self, reason: str, message: str, asked: bool
  ) -> None:
    """It is asked anew after pods were refused, and not for less."""
    self.assertFalse(self.restricted())
    self.server.warning = _WARNING
    event: Object = {
      "involvedObject": {"kind": "Job", "name": "job"},
      "metadata": {"name": "event"},
      "reason": reason,
      "message": message,
    }
    admission.heed(self.cluster, self.home, [event])
    self.assertEqual(self.restricted(), asked)


class CheckTest(KubernetesCase):
  def test_an_account(self) -> None:
    """One that is there is asked about once a day, another every time."""
    home = Home(ensure(Path(self.create_tempdir().full_path, "home")))
    wanted = Wanted(service_account="trainer")
    for _ in range(2):
      with self.assertRaisesRegex(errors.ConfigError, "create serviceaccount"):
        admission.check(self.cluster, home, wanted)
    self.put(ACCOUNTS, {"metadata": {"name": "trainer"}})
    self.server.requests.clear()
    for _ in range(2):
      admission.check(self.cluster, home, wanted)
    self.assertLen(self.server.requests, 1)
    admission.check(self.cluster, home, Wanted())
    self.assertLen(self.server.requests, 1)

  def test_who_may_not_look_for_accounts(self) -> None:
    """It may be there all the same."""
    self.server.fault = lambda request: 403
    admission.check_account(self.cluster, "trainer")


class QueueTest(KubernetesCase):
  def serve(self, *versions: str) -> None:
    def fault(request: Request) -> int | None:
      return None if any(v in request.path for v in versions) else 404

    self.server.fault = fault

  @parameterized.parameters("v1beta1", "v1beta2")
  def test_one_that_is_there(self, version: str) -> None:
    """By whichever version of Kueue; another is refused, with what there is."""
    self.serve(version)
    kind = Kind(f"apis/kueue.x-k8s.io/{version}", "localqueues")
    with self.assertRaisesRegex(errors.ConfigError, "it has none"):
      admission.check_queue(self.cluster, "gpus")
    self.put(kind, {"metadata": {"name": "gpus"}})
    admission.check_queue(self.cluster, "gpus")
    with self.assertRaisesRegex(errors.ConfigError, "'cpus'.*gpus"):
      admission.check_queue(self.cluster, "cpus")

  def test_no_kueue(self) -> None:
    """Nobody waits for what is not there."""
    self.serve()
    with self.assertRaisesRegex(errors.ConfigError, "has no Kueue"):
      admission.check_queue(self.cluster, "gpus")

  def test_who_may_not_look(self) -> None:
    """The queue may be there all the same."""
    self.server.fault = lambda request: 403
    admission.check_queue(self.cluster, "gpus")


if __name__ == "__main__":
  absltest.main()
