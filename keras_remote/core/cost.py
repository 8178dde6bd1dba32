"""What a job costs, and until when: said only where that is paid for."""

import calendar
import datetime

from keras_remote import clock, errors
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.accelerators.prices import Price, hourly
from keras_remote.backend.base import Backend
from keras_remote.core.console import duration
from keras_remote.job.outcome import Outcome
from keras_remote.job.spec import JobSpec

_CENT = 0.01


def price(spec: JobSpec, backend: Backend) -> Price | None:
  """What the job's machines cost an hour; None where that is not known."""
  if not backend.in_google_cloud:
    return None
  try:
    accelerator = parse_accelerator(spec.resources.accelerator)
  except errors.AcceleratorError:  # Of a newer keras_remote.
    return None
  return hourly(accelerator, spec.resources.hosts)


def at_start(
  spec: JobSpec, backend: Backend, now: datetime.datetime | None = None
) -> list[str]:
  """What an hour costs, and by when it ends; none where nobody pays.

  Args:
    now: in the time zone of who reads it.
  """
  if backend.usual_timeout is None:
    return []
  sentences: list[str] = []
  if found := price(spec, backend):
    sentences = [f"about {usd(found.usd)} an hour ({found.origin})"]
  timeout = spec.limits.timeout
  if timeout is None:  # Of a keras_remote that knew no default.
    return sentences
  now = clock.now().astimezone() if now is None else now
  try:
    submitted = datetime.datetime.fromisoformat(spec.origin.submitted)
    limit = datetime.timedelta(seconds=timeout)
    end = submitted.astimezone(now.tzinfo) + limit
  except (OverflowError, ValueError):  # No option gives that: it is forged.
    return sentences
  by = _time_of_day(end, now)
  starts = 1 + spec.limits.retries + spec.limits.max_preemptions
  if starts == 1:
    sentences.append(f"stops by {by}, later only by what it waits to start")
  else:
    each = duration(timeout)
    sentences.append(f"up to {starts} starts of {each}, the first until {by}")
  return sentences


def at_end(spec: JobSpec, backend: Backend, outcome: Outcome) -> str:
  """What it has cost, such as "about 1.60 USD"; "" where that is not known.

  Machines that started, or stay for a while, without it are not counted.
  """
  found, seconds = price(spec, backend), outcome.seconds
  if found is None or seconds is None:
    return ""
  cost = found.of(seconds)
  words = f"under {usd(_CENT)}" if cost < _CENT else f"about {usd(cost)}"
  # What the others took nobody has kept.
  return words if outcome.attempt <= 1 else f"{words} for its last start"


def usd(amount: float) -> str:
  """An amount for people, such as "1,234.50 USD"."""
  return f"{amount:,.2f} USD"


def _time_of_day(at: datetime.datetime, now: datetime.datetime) -> str:
  """When that is, for who reads it now: "14:05 tomorrow"."""
  days = (at.date() - now.date()).days
  clock_time = f"{at:%H:%M}"
  if days in (0, 1):
    return f"{clock_time} {('today', 'tomorrow')[days]}"
  year = "" if at.year == now.year else f" {at.year}"
  return f"{clock_time} on {at.day} {calendar.month_name[at.month]}{year}"
