"""What user code may know of the job that it runs in."""

import os
from dataclasses import dataclass
from pathlib import Path

from keras_remote import constants
from keras_remote.job import launch


@dataclass(frozen=True)
class CurrentJob:
  """The job that this process belongs to.

  Attributes:
    attempt: counted from 1.
    host: which of the `hosts` this is, from 0.
    output_dir: what is left here is kept with the job: `job.files()`.
  """

  id: str
  attempt: int
  host: int
  hosts: int
  output_dir: Path


def current_job() -> CurrentJob | None:
  """The job that this process belongs to; None outside a job.

  It is read from the environment, so child processes know it too.
  """
  text = os.environ.get(launch.JOB_VARIABLE)
  if not text:
    return None
  job_id, attempt, host, hosts = text.split(":")
  return CurrentJob(
    id=job_id,
    attempt=int(attempt),
    host=int(host),
    hosts=int(hosts),
    output_dir=Path(os.environ[constants.OUTPUT_DIR_VARIABLE]),
  )


def environ(job: CurrentJob) -> dict[str, str]:
  """The variables from which `current_job` reads this job."""
  return {
    launch.JOB_VARIABLE: f"{job.id}:{job.attempt}:{job.host}:{job.hosts}",
    constants.OUTPUT_DIR_VARIABLE: str(job.output_dir),
  }
