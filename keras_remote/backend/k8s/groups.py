"""How a group of hosts stands, by its pods: pure functions of their JSON.

The controllers of both, an Indexed Job and a LeaderWorkerSet, label each pod
with its host. A pod that is made anew has the name of the one before it, in a
set, and another uid.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from keras_remote.backend.k8s import diagnosis, waiting
from keras_remote.backend.k8s.deaths import Death, death
from keras_remote.backend.k8s.diagnosis import View
from keras_remote.backend.k8s.pods import QUEUE_LABEL
from keras_remote.backend.k8s.pools import Pool
from keras_remote.backend.k8s.status import (
  Json,
  ended_before,
  host_of,
  is_leaving,
)
from keras_remote.job.line import joined, of_host
from keras_remote.job.state import State

# Gates that keep a pod from nodes until a queue admits it.
_QUEUE_GATES = "kueue.x-k8s.io/"
_STOPPING = "it is being stopped"
_MAKING = waiting.Waiting("its pods are being made")
# More reasons, or nodes, nobody reads in one sentence.
_REASONS, _NODES = 2, 4


def latest(pods: Iterable[Json]) -> dict[int, Json]:
  """The last pod of each host."""
  found: dict[int, Json] = {}
  for pod in sorted(pods, key=_made):
    found[host_of(pod)] = pod
  return found


def owns_set(job: Json | None) -> bool:
  """Whether a Job has no pods of its own, but owns a LeaderWorkerSet."""
  return job is not None and job["spec"].get("parallelism") == 0


def view(
  job: Json | None,
  pods: Sequence[Json],
  hosts: int,
  events: Sequence[Json] = (),
  known: Sequence[Pool] | None = None,
  *,
  gone: bool = False,
  died: Death | None = None,
  ended: Json | None = None,
) -> View:
  """How the group stands.

  Args:
    events: what was told of its objects.
    known: the pools that the cluster has; None where they are not known.
    gone: whether its LeaderWorkerSet is not there any more.
    died: of what a host of it died before, where that is known.
    ended: the condition by which its Job ended, where that went then.
  """
  each = _hosts(latest(pods), hosts, events, known)
  sentences = tuple(host.sentence for host in each)
  told = any(host.told for host in each)
  living = [host for host in each if host.runs or host.stops or host.waits]
  deaths = [host.ended for host in each if host.ended]
  # A set makes all of them anew, whatever they died of.
  dead = bool(deaths) and not living and not owns_set(job)
  last = died or min(deaths, default=None)
  finished = diagnosis.finished(job) or (ended if job is None else None) or {}
  if job is None or finished or gone:
    if living:
      return View(
        State.RUNNING, "its pods are being removed", told, hosts=sentences
      )
    why = diagnosis.gone(finished)
    if gone and job is not None:
      why = "its LeaderWorkerSet is gone: somebody deleted it"
    # Its pods go with it, and are told so.
    own = last and (dead or not last.was_told)
    if own and not diagnosis.is_time_up(finished):
      why = str(last)
    return View(State.PENDING, why, told, dead, over=True, hosts=sentences)
  stopping = any(host.stops for host in each)
  # Where nothing is made anew a pod that has ended tells it itself.
  again = "" if deaths and not owns_set(job) else _again(job, died)
  if not pods:
    if job["spec"].get("suspend"):
      return View(State.QUEUED, diagnosis.suspended(job))
    why = waiting.refused(events, hosts) or _MAKING
    return View(State.PENDING, why.sentence + again, hopeless=why.hopeless)
  if queue := _queued(pods):
    return View(State.QUEUED, queue + again, told, hosts=sentences)
  running = sum(host.runs for host in each)
  through = sum(host.told and host.ended is not None for host in each)
  if running and running + through == hosts:
    return View(State.RUNNING, _all_run(latest(pods)), told, hosts=sentences)
  if stopping and not running:
    sentence = f"its pods are being stopped{again}"
    return View(State.RUNNING, sentence, told, hosts=sentences)
  reasons = _reasons(each, but=str(died) if again else "")
  shown = "".join(f"; {each}" for each in reasons[:_REASONS])
  more = len(reasons) - _REASONS
  return View(
    # Where one has ended that ran, the others may be at the function.
    State.RUNNING if running and (deaths or stopping) else State.PENDING,
    f"{running} of {hosts} hosts run{shown}"
    f"{f'; and {more} more' if more > 0 else ''}{again}",
    told,
    dead,
    hopeless=any(host.hopeless for host in each),
    hosts=sentences,
  )


@dataclass(frozen=True)
class _Host:
  """How one host stands: one of `runs`, `stops`, `waits` or `ended`, or none.

  Attributes:
    told: its first process says that the outcome is stored.
  """

  host: int
  sentence: str
  runs: bool = False
  stops: bool = False
  waits: bool = False
  ended: Death | None = None
  told: bool = False
  hopeless: bool = False


def _hosts(
  pods: Mapping[int, Json],
  hosts: int,
  events: Sequence[Json],
  known: Sequence[Pool] | None,
) -> list[_Host]:
  absent = waiting.refused(events, hosts) or waiting.for_pod(())
  found = []
  for host in range(hosts):
    pod = pods.get(host)
    if pod is None:
      found.append(_Host(host, absent.sentence, hopeless=absent.hopeless))
    else:
      found.append(_host(host, pod, events, known))
  return found


def _host(
  host: int,
  pod: Json,
  events: Sequence[Json],
  known: Sequence[Pool] | None,
) -> _Host:
  if diagnosis.has_ended(pod):
    told = diagnosis.has_told(pod)
    return _Host(host, diagnosis.death(pod), ended=death(pod), told=told)
  leaving = is_leaving(pod)
  if diagnosis.has_started(pod):
    if leaving:
      # Host 0 has its group deleted once the outcome is stored.
      return _Host(host, _STOPPING, stops=True, told=host == 0)
    if before := ended_before(pod):
      # Its group goes on without it, until it is made anew.
      return _Host(host, diagnosis.death(before), waits=True)
    return _Host(host, f"it runs on node {_node(pod)}", runs=True)
  if leaving:
    return _Host(host, _STOPPING, stops=True)
  why = waiting.for_start(pod, events, known)
  before = ended_before(pod)
  sentence = diagnosis.death(before) if before else why.sentence
  return _Host(host, sentence, waits=True, hopeless=why.hopeless)


def _again(job: Json, died: Death | None) -> str:
  """What follows of a host's death, as the end of a sentence."""
  if not died:
    return ""
  return f"; it is started again, as {died}" if owns_set(job) else f"; {died}"


def _reasons(each: Sequence[_Host], but: str) -> list[str]:
  """Why hosts do not run, each reason once, those in vain first.

  Args:
    but: what is said elsewhere.
  """
  by_sentence: dict[str, list[_Host]] = {}
  for host in each:
    said = but == of_host(host.host, host.sentence)
    if not (host.runs or host.told or said):
      by_sentence.setdefault(host.sentence, []).append(host)

  def weight(found: Sequence[_Host]) -> tuple[int, bool, int]:
    # Who has no pod waits for those that have.
    pod = found[0].waits or found[0].ended is not None
    deaths = [host.ended.echo for host in found if host.ended]
    first = -1 if any(host.hopeless for host in found) else 9
    return min(deaths, default=first), not pod, found[0].host

  ordered = sorted(by_sentence.values(), key=weight)
  return [
    f"{_names([host.host for host in found])}: {found[0].sentence}"
    for found in ordered
  ]


def _names(hosts: Sequence[int]) -> str:
  return f"host{'s' * (len(hosts) > 1)} {joined([*map(str, hosts)])}"


def _all_run(pods: Mapping[int, Json]) -> str:
  nodes = sorted({_node(pod) for pod in pods.values()})
  more = f" and {len(nodes) - _NODES} more" if len(nodes) > _NODES else ""
  return (
    f"its {len(pods)} hosts run on node{'s' * (len(nodes) > 1)} "
    f"{', '.join(nodes[:_NODES])}{more}"
  )


def _queued(pods: Iterable[Json]) -> str:
  """That a queue has not admitted a pod yet; "" where none waits for one."""
  for pod in pods:
    gates = pod["spec"].get("schedulingGates") or ()
    if any(gate["name"].startswith(_QUEUE_GATES) for gate in gates):
      queue = (pod["metadata"].get("labels") or {}).get(QUEUE_LABEL)
      named = f"queue '{queue}'" if queue else "its queue"
      return (
        f"it waits until {named} admits it: `kubectl get workloads` shows who "
        "is before it"
      )
  return ""


def _node(pod: Json) -> str:
  return str(pod["spec"].get("nodeName"))


def _made(pod: Json) -> tuple[str, bool]:
  return pod["metadata"]["creationTimestamp"], not diagnosis.has_ended(pod)
