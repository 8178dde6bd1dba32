"""The one place that knows the names of a job's files."""

import hashlib

JOBS = "jobs/"
INDEX = "index/"
CONTEXTS = "contexts/"
ENVIRONMENTS = "environments/"
# Of backends that have no other way to hand a job its runner.
RUNNERS = "runners/"
# Where builds of images leave their logs.
BUILDS = "builds"


def job(job_id: str, name: str = "") -> str:
  """The key of a file in the job's directory."""
  return f"{JOBS}{job_id}/{name}"


SPEC = "spec.json"
SIGNATURE = "spec.sig"
PAYLOAD = "payload.pkl"
OUTCOME = "outcome.json"
ATTEMPTS = "attempts/"
FILES = "files/"


def attempt(number: int, name: str) -> str:
  """A file of one attempt, counted from 1."""
  return f"{ATTEMPTS}{number}/{name}"


STARTED = "started.json"


def present(host: int) -> str:
  """That a host's first process is there, before an attempt is claimed."""
  return f"present/{host}.json"


def heartbeat(host: int) -> str:
  """A host's heartbeat, within the attempt."""
  return f"heartbeat/{host}"


# The folder of what hosts say of their ends, within the attempt.
HOSTS = "hosts/"


def host_report(host: int) -> str:
  """How a host ended, within the attempt."""
  return f"{HOSTS}{host}.json"


def doing(host: int) -> str:
  """What a host's function is at, within the attempt."""
  return f"doing/{host}.json"


# Which host the others wait for, within the attempt.
HANG = "hang.json"
# What a backend said of the attempt's processes, where they could not.
DEATH = "death.json"


def logs(host: int) -> str:
  """The folder of a host's log segments, within the attempt."""
  return f"logs/{host}/"


def log_segment(host: int, offset: int) -> str:
  """A log segment, named by the offset of its first byte."""
  return f"{logs(host)}{offset:015d}"


def result(digest: str) -> str:
  """A result, named by its content."""
  return f"results/{digest}.pkl"


def context(digest: str) -> str:
  """The key of a context, which jobs share."""
  return f"{CONTEXTS}{digest}.zip"


def environment(owner: str, digest: str, machine: str) -> str:
  """The key of an installed environment, which jobs of one owner share.

  A signature stands before the archive.
  """
  return f"{ENVIRONMENTS}{owner}/{digest}-{machine}.tar.gz.signed"


def digest(data: bytes) -> str:
  """The sha256 by which content is named, in hex."""
  return hashlib.sha256(data).hexdigest()
