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
    slices: how many TPU slices the hosts make up; those of one come after
      those of another.
  """

  id: str
  attempt: int
  host: int
  hosts: int
  output_dir: Path
  slices: int = 1

  @property
  def slice(self) -> int:
    """Which of the `slices` this host is in, from 0."""
    return self.host // (self.hosts // self.slices)


def current_job() -> CurrentJob | None:
  """The job that this process belongs to; None outside a job.

  It is read from the environment, so child processes know it too.
  """
  text = os.environ.get(launch.JOB_VARIABLE)
  if not text:
    return None
  job_id, attempt, host, hosts, slices = text.split(":")
  return CurrentJob(
    id=job_id,
    attempt=int(attempt),
    host=int(host),
    hosts=int(hosts),
    output_dir=Path(os.environ[constants.OUTPUT_DIR_VARIABLE]),
    slices=int(slices),
  )


def environ(job: CurrentJob) -> dict[str, str]:
  """The variables from which `current_job` reads this job."""
  fields = (job.id, job.attempt, job.host, job.hosts, job.slices)
  return {
    launch.JOB_VARIABLE: ":".join(map(str, fields)),
    constants.OUTPUT_DIR_VARIABLE: str(job.output_dir),
  }
