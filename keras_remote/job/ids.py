"""Job ids: readable, sortable by people, unique."""

import base64
import datetime
import re
import secrets

# Kubernetes names hold 63 characters; 48 leave room for suffixes.
MAX_LENGTH = 48
_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_STAMP = "%Y%m%d-%H%M%S"
_BEGIN = re.compile(r"[a-z][a-z0-9-]*-[0-9]{8}-[0-9]{6}-[a-z2-7]{6}(?=-|$)")


def is_job_id(text: str) -> bool:
  """Whether the text is a DNS-1035 label, as every job's id is."""
  return len(text) <= MAX_LENGTH and bool(_LABEL.fullmatch(text))


def begun_by(name: str) -> str | None:
  """The job's id that a name begins with; None where it does not."""
  found = _BEGIN.match(name)
  return found[0] if found else None


def new_job_id(function: str, at: datetime.datetime) -> str:
  """`<function>-<yyyymmdd>-<hhmmss>-<6 random base32>`, a DNS-1035 label.

  Args:
    function: any name; what a label cannot hold is left out.
    at: the time of submission, in UTC.
  """
  suffix = base64.b32encode(secrets.token_bytes(4)).decode().lower()[:6]
  tail = f"-{at.strftime(_STAMP)}-{suffix}"
  stem = re.sub(r"[^a-z0-9]+", "-", function.lower()).strip("-")
  if not stem[:1].isalpha():
    stem = f"job-{stem}".rstrip("-")
  return stem[: MAX_LENGTH - len(tail)].rstrip("-") + tail


def made_at(job_id: str) -> datetime.datetime | None:
  """When a job of this id was submitted, in UTC; None where it does not say."""
  try:
    found = datetime.datetime.strptime(
      "-".join(job_id.split("-")[-3:-1]), _STAMP
    )
  except ValueError:
    return None
  return found.replace(tzinfo=datetime.UTC)
