"""A job's spec, for tests that need one and do not care which."""

import platform

from keras_remote.job.spec import (
  Entry,
  EntryKind,
  Environment,
  JobSpec,
  Limits,
  Origin,
  Resources,
  Target,
)

JOB_ID = "train-20260102-030405-abc234"


def job_spec(
  job_id: str = JOB_ID,
  *,
  submitted: str = "2026-01-02T03:04:05.678+00:00",
  retries: int = 0,
  max_preemptions: int = 0,
  accelerator: str = "v5e-8",
  hosts: int = 1,
  kind: EntryKind = EntryKind.CALL,
) -> JobSpec:
  """A spec in which nothing is special but what is asked for."""
  return JobSpec(
    origin=Origin(
      job_id=job_id,
      name="train",
      tags=("nightly", "tpu"),
      parent=None,
      who="ada@home",
      submitted=submitted,
    ),
    entry=Entry(kind, "pkg:train", params={"lr": 1e-3}),
    environment=Environment(
      python=platform.python_version(),
      packages={"keras": "3.9.0"},
      keras_backend="jax",
      cwd=".",
      sys_path=(".",),
      imports=("keras",),
      variables=("HF_TOKEN",),
      root="/project",
    ),
    resources=Resources(
      accelerator, hosts=hosts, emulated=accelerator != "cpu"
    ),
    limits=Limits(retries=retries, max_preemptions=max_preemptions),
    target=Target("local", "/store", "here"),
    payload="0" * 64,
    context="1" * 64,
  )
