"""Groups of hosts on a real cluster: what every backend promises."""

from collections.abc import Sequence

import pytest
from absl.testing import absltest

from keras_remote.backend.k8s.objects import (
  ACCOUNTS,
  BINDINGS,
  JOBS,
  PODS,
  ROLES,
  SECRETS,
  SETS,
)
from tests.cluster import group_case

_KINDS = (JOBS, PODS, SETS, ACCOUNTS, ROLES, BINDINGS, SECRETS)
# A slice has an image to pull, four hosts to start, and devices to share.
_SECONDS = 600


@pytest.mark.timeout(_SECONDS)
class IndexedJobTest(group_case.ClusterGroupCase):
  """What has ended is kept for a day, and takes no machine."""

  backend = "gke"

  def left(self, job_id: str) -> Sequence[str]:
    return [
      pod["metadata"]["name"]
      for pod in self.found(PODS, job_id)
      if pod["status"]["phase"] not in ("Succeeded", "Failed")
    ]


@pytest.mark.timeout(_SECONDS)
class LeaderWorkerSetTest(group_case.ClusterGroupCase):
  """Nothing is left of what has ended."""

  backend = "pathways"

  def left(self, job_id: str) -> Sequence[str]:
    return [
      f"{kind.plural} {each['metadata']['name']}"
      for kind in _KINDS
      for each in self.found(kind, job_id)
    ]


if __name__ == "__main__":
  absltest.main()
