"""Deletes a job's own objects in its cluster, from inside the job.

Also a Python that is too old for all else here may read this module, and alone:
so it knows nothing of ours, and says it in words of Python 3.6.
"""

import http.client
import json
import os
import ssl
import time
from typing import Any, List, Mapping, NamedTuple, Tuple, Union

_REQUEST_SECONDS = 10.0
_PAUSE = 5.0
_MOST_BYTES = 1 << 20
_GONE = 404

Folder = Union[str, "os.PathLike[str]"]


class Kind(NamedTuple):
  """A kind of objects, and what is to become of those that they own."""

  group: str
  resource: str
  policy: str


# In this order: the Job owns the set, and goes at once. Of a set that does so
# only the leader is told to end, and the others when that is gone. Without a
# policy of its own a Job would leave behind what it owns.
KINDS = (
  Kind("leaderworkerset.x-k8s.io", "leaderworkersets", "Foreground"),
  Kind("batch", "jobs", "Background"),
)


def free(
  environ: Mapping[str, str], folder: Folder, job_id: str, after: float
) -> None:
  """Deletes what runs the job, until it works.

  Args:
    after: seconds for which it is left to whoever looks.
  """
  time.sleep(after)
  left: List[Kind] = list(KINDS)
  while left:
    for kind in list(left):
      try:
        status, _ = delete(environ, folder, job_id, kind)
      except Exception:  # Whatever it is: the next time may go well.
        continue
      if is_done(status):
        left.remove(kind)
    if left:
      time.sleep(_PAUSE)


def is_done(status: int) -> bool:
  """Whether a deletion that was answered so need not be tried again."""
  return 200 <= status < 300 or status == _GONE


def delete(
  environ: Mapping[str, str], folder: Folder, job_id: str, kind: Kind
) -> Tuple[int, Any]:
  """Deletes the job's object of this kind; what is answered."""
  options = {
    "apiVersion": "v1",
    "kind": "DeleteOptions",
    "propagationPolicy": kind.policy,
  }
  path = (
    f"/apis/{kind.group}/v1/namespaces/{namespace(folder)}/{kind.resource}/"
    f"{job_id}"
  )
  return request(environ, folder, "DELETE", path, options)


def namespace(folder: Folder) -> str:
  """Where the job's objects are."""
  return _read(folder, "namespace")


def request(
  environ: Mapping[str, str],
  folder: Folder,
  method: str,
  path: str,
  body: Mapping[str, Any],
) -> Tuple[int, Any]:
  """The status and the body of the API server's answer.

  Args:
    environ: names the API server, as in every container of a cluster.
    folder: has `token`, `ca.crt` and `namespace`.
  """
  connection = http.client.HTTPSConnection(
    environ["KUBERNETES_SERVICE_HOST"],
    int(environ["KUBERNETES_SERVICE_PORT"]),
    timeout=_REQUEST_SECONDS,
    context=ssl.create_default_context(cafile=os.path.join(folder, "ca.crt")),
  )
  # Read each time: the cluster may write it later, or anew.
  headers = {
    "Authorization": f"Bearer {_read(folder, 'token')}",
    "Content-Type": "application/json",
    "Accept": "application/json",
  }
  try:
    connection.request(method, path, json.dumps(body), headers)
    response = connection.getresponse()
    data = response.read(_MOST_BYTES)
  finally:
    connection.close()
  try:
    return response.status, json.loads(data.decode())
  except ValueError:
    return response.status, None


def _read(folder: Folder, name: str) -> str:
  with open(os.path.join(folder, name)) as file:
    return file.read().strip()
