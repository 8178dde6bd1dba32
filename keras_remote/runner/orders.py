"""What the first process tells the worker to do."""

import os
from collections.abc import Mapping
from pathlib import Path

from keras_remote.inside import current
from keras_remote.job import layout, surroundings
from keras_remote.job.launch import Launch
from keras_remote.job.outcome import Started
from keras_remote.job.spec import JobSpec
from keras_remote.runner import doctor, rendezvous, scratch


def prepare(spec: JobSpec, launch: Launch) -> dict[str, object]:
  """The first order: what can be done before the attempt is claimed.

  Its `doing` is where the worker says what it is at; "" where nobody asks.
  """
  folder = Path(launch.scratch)
  asked = doctor.looks_after(spec, launch)
  return {
    "doing": str(folder / scratch.DOING) if asked else "",
    "roots": [str(folder / scratch.CONTEXT), spec.environment.root],
    "environ": surroundings.device_environ(spec, os.environ),
    "imports": spec.environment.imports,
  }


def call(
  spec: JobSpec, started: Started, launch: Launch
) -> Mapping[str, object]:
  """The second order: where things are, and what to call.

  Its `coordinator` is "" where there is no group to join; a command may make
  one host with an accelerator a group.
  """
  folder = Path(launch.scratch)
  coordinator = started.coordinator
  if spec.entry.argv and spec.resources.accelerator != "cpu":
    coordinator = coordinator or rendezvous.address(launch.leader)
  here = current.CurrentJob(
    spec.job_id,
    started.attempt,
    launch.host,
    launch.hosts,
    folder / scratch.OUTPUT,
    spec.resources.slices,
  )
  slices = surroundings.slice_environ(spec, coordinator, launch.host)
  return {
    "environ": {**current.environ(here), **slices},
    "context": str(folder / scratch.CONTEXT),
    "root": spec.environment.root,
    "cwd": spec.environment.cwd,
    "sys_path": spec.environment.sys_path,
    "argv": spec.entry.argv,
    "payload": str(folder / scratch.PAYLOAD),
    "result": str(folder / scratch.RESULT),
    "answer": str(folder / scratch.ANSWER),
    "secrets": spec.environment.variables,
    "coordinator": coordinator,
    "host": launch.host,
    "hosts": launch.hosts,
    "startup_timeout": spec.limits.startup_timeout,
    "distribution": spec.environment.distribution,
    "seed": _seed(spec.job_id) if launch.hosts > 1 else None,
  }


def _seed(job_id: str) -> int:
  """A random number that all hosts and attempts of a job have in common."""
  return int(layout.digest(job_id.encode())[:8], 16)


# Together the hosts of a group leave it, once all have returned; another
# host's end is none that they could wait for.
TOGETHER: Mapping[str, object] = {"together": True}
APART: Mapping[str, object] = {"together": False}
