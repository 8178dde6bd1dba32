from pathlib import Path
from typing import Any

from absl.testing import absltest

from keras_remote import errors
from keras_remote.backend.k8s import links
from keras_remote.backend.k8s.cluster import open_cluster, open_gke
from keras_remote.backend.k8s.names import GkeCluster
from keras_remote.backend.k8s.objects import Kind
from keras_remote.checks import Check, Link, look_at
from keras_remote.home import Home, ensure
from tests.fakes.api_server import Request
from tests.fakes.environment import environment
from tests.fakes.google_cloud import GoogleCloud
from tests.fakes.kubernetes_case import KubernetesCase

_ACCOUNTS = Kind("api/v1", "serviceaccounts")
_QUOTAS = Kind("api/v1", "resourcequotas")
_QUEUES = Kind("apis/kueue.x-k8s.io/v1beta1", "localqueues")


class LinksTest(KubernetesCase):
  def setUp(self) -> None:
    super().setUp()
    self.put(_ACCOUNTS, {"metadata": {"name": "default"}})

  def links(
    self,
    account: str | None = None,
    queue: str | None = None,
    *,
    groups: bool = False,
  ) -> dict[str, Link]:
    found = links.links(self.cluster, account, queue, groups=groups)
    return {link.what: link for link in found}

  def look(self, *names: str, **asked: Any) -> dict[str, Check]:
    """The checks of these links, by default of all."""
    found = self.links(**asked)
    wanted = [found[name] for name in names or found]
    return {check.what: check for check in look_at(wanted)}

  def refuse(self, path: str) -> None:
    """The user may not ask for paths that end so."""

    def fault(request: Request) -> int | None:
      return 403 if request.path.endswith(path) else None

    self.server.fault = fault

  def test_all_is_well(self) -> None:
    """Each link says what it saw; what only some calls need is not known."""
    found = self.look()
    self.assertEqual(
      {what: check.ok for what, check in found.items()},
      {
        "cluster": True,
        "namespace": True,
        "rights": True,
        "service account": True,
        "quota": True,
        "LeaderWorkerSet": None,
      },
    )
    self.assertIn("v1.34.0", found["cluster"].sentence)

  def test_no_namespace(self) -> None:
    """The cure makes it, and so does `mend`."""
    self.cluster = open_cluster("here", "other")
    check = self.look("namespace")["namespace"]
    self.assertFalse(check.ok)
    self.assertIn("create namespace other", check.cure)
    self.assertIsInstance(check.error, errors.ClusterError)
    mend = self.links()["namespace"].mend
    assert mend
    mend()
    self.assertTrue(self.look("namespace")["namespace"].ok)

  def test_what_may_not_be_seen(self) -> None:
    """It is not known, which says nothing against what follows."""
    for path, what in (
      ("/namespaces/team", "namespace"),
      ("/serviceaccounts/default", "service account"),
      ("/resourcequotas", "quota"),
    ):
      self.refuse(path)
      found = self.look()
      self.assertIsNone(found[what].ok)
      self.assertTrue(found["rights"].ok)

  def test_rights(self) -> None:
    """All that are missing are told at once, with who can allow it."""
    self.server.forbidden = {"create jobs", "get secrets", "get pods/log"}
    check = self.look("rights")["rights"]
    self.assertFalse(check.ok)
    self.assertIn("may not create jobs, get secrets in", check.sentence)
    self.assertIn("create rolebinding", check.cure)
    self.assertIsInstance(check.error, errors.ClusterAccessError)

  def test_rights_to_be_told_more(self) -> None:
    """Calls can do without them."""
    self.server.forbidden = {"get pods/log", "watch events"}
    check = self.look("rights")["rights"]
    self.assertIsNone(check.ok)
    self.assertIn("get pods/log, watch events", check.sentence)

  def test_rights_that_nobody_tells(self) -> None:
    """A cluster that does not answer is no cluster that refuses."""
    self.refuse("/selfsubjectaccessreviews")
    check = self.look("rights")["rights"]
    self.assertFalse(check.ok)
    self.assertNotIn("may not create jobs", check.sentence)

  def test_a_service_account(self) -> None:
    """The one that jobs have."""
    check = self.look("service account", account="trainer")["service account"]
    self.assertFalse(check.ok)
    self.assertIn("create serviceaccount trainer", check.cure)
    self.put(_ACCOUNTS, {"metadata": {"name": "trainer"}})
    found = self.look("service account", account="trainer")
    self.assertTrue(found["service account"].ok)

  def test_quotas(self) -> None:
    """One that is full is told; room is shown, of what concerns jobs."""
    hard = {"pods": "3", "requests.cpu": "2", "services": "1"}
    used = {"pods": "1", "requests.cpu": "500m", "services": "1"}
    status = {"hard": hard, "used": used}
    self.put(_QUOTAS, {"metadata": {"name": "a"}, "status": status})
    check = self.look("quota")["quota"]
    self.assertTrue(check.ok)
    self.assertEqual(
      check.sentence, "there is room: pods 1 of 3, requests.cpu 500m of 2"
    )
    used["requests.cpu"] = "2000m"
    self.put(_QUOTAS, {"metadata": {"name": "a"}, "status": status})
    check = self.look("quota")["quota"]
    self.assertFalse(check.ok)
    self.assertIn("full: requests.cpu 2000m of 2", check.sentence)

  def test_a_queue(self) -> None:
    """It is looked for only where jobs go through one."""
    self.put(_QUEUES, {"metadata": {"name": "nightly"}})
    self.assertTrue(self.look("queue", queue="nightly")["queue"].ok)
    check = self.look("queue", queue="daily")["queue"]
    self.assertFalse(check.ok)
    self.assertIn("nightly", check.sentence)

  def test_groups_of_hosts(self) -> None:
    """Whether they can run."""
    self.server.groups.add("leaderworkerset.x-k8s.io/v1")
    self.assertTrue(self.look("LeaderWorkerSet")["LeaderWorkerSet"].ok)

  def test_groups_that_are_needed(self) -> None:
    """Then nothing runs without them; the cure names what does."""
    check = self.look("LeaderWorkerSet", groups=True)["LeaderWorkerSet"]
    self.assertFalse(check.ok)
    self.assertIn("keras-remote up", check.cure)
    self.assertIn('backend="gke"', check.cure)
    self.assertTrue(self.links(groups=True)["LeaderWorkerSet"].vital)
    self.assertFalse(self.links()["LeaderWorkerSet"].vital)

  def test_rights_to_make_groups(self) -> None:
    """Only who makes groups needs them; who lacks them can be given them."""
    self.server.forbidden = {"create roles", "create leaderworkersets"}
    self.assertTrue(self.look("rights")["rights"].ok)
    check = self.look("rights", groups=True)["rights"]
    self.assertFalse(check.ok)
    missing = "may not create leaderworkersets, create roles in"
    self.assertIn(missing, check.sentence)
    self.assertIn("create role keras-remote-groups", check.cure)
    self.server.forbidden.add("create jobs")
    check = self.look("rights", groups=True)["rights"]
    self.assertIn("--clusterrole=edit", check.cure)

  def test_a_cluster_that_is_down(self) -> None:
    """It alone is broken: nothing else is looked at."""
    self.server.fault = lambda request: 0
    found = self.look()
    self.assertEqual(
      [c.what for c in found.values() if c.ok is False], ["cluster"]
    )
    self.assertIn("it needs namespace", found["rights"].sentence)


class GkeLinksTest(absltest.TestCase):
  def look(self, cloud: GoogleCloud, **variables: str) -> dict[str, Check]:
    folder = self.create_tempdir().full_path
    gke = GkeCluster("p", "us-central1-a", "train")
    with environment(**cloud.login(folder), **variables):
      cluster = open_gke(Home(ensure(Path(folder, "home"))), gke, "team")
      found = links.links(cluster, None, None)
      return {check.what: check for check in look_at(found)}

  def test_the_way_there(self) -> None:
    """Log-in, then Google's Container API, then the cluster."""
    with GoogleCloud() as cloud:
      cloud.add("p", "europe-west4", "train", "https://192.0.2.7", "")
      found = self.look(cloud)
    self.assertEqual(
      list(found)[:3], ["Google log-in", "Container API", "cluster"]
    )
    self.assertIn("robot@project.example", found["Google log-in"].sentence)
    self.assertFalse(found["Container API"].ok)
    self.assertIn("KERAS_REMOTE_ZONE", found["Container API"].sentence)
    self.assertIn("needs Container API", found["cluster"].sentence)

  def test_nobody_is_logged_in(self) -> None:
    """That alone is broken, and how to log in is said."""
    with GoogleCloud() as cloud:
      cloud.revoked = True
      found = self.look(cloud)
    broken = [check for check in found.values() if check.ok is False]
    (check,) = broken
    self.assertEqual(check.what, "Google log-in")
    self.assertIn("gcloud auth application-default login", check.sentence)
    self.assertIsInstance(check.error, errors.CredentialsError)


if __name__ == "__main__":
  absltest.main()
