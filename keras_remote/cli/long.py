"""How jobs that have waited or run for long are told of."""

from collections.abc import Sequence

from keras_remote.accelerators.prices import origins
from keras_remote.cli import times
from keras_remote.cli.output import Table
from keras_remote.core.cost import usd
from keras_remote.core.lasting import Lasting


def document(job: Lasting | None) -> dict[str, object] | None:
  """One for programs; None for a job that is none of them."""
  if job is None:
    return None
  usd_an_hour = job.price.usd if job.price else None
  return {"seconds": round(job.seconds), "usd_an_hour": usd_an_hour}


def noted(jobs: Sequence[Lasting]) -> list[str | Table]:
  """What is said of all of them below a list; nothing of none."""
  if not jobs:
    return []
  rows = [
    (
      job.id,
      f"{str(job.state).lower()} for {times.span(job.seconds)}",
      f"{usd(job.price.usd)}/h" if job.price else "",
    )
    for job in jobs
  ]
  prices = [job.price for job in jobs if job.price]
  return [
    "\nFor long now:",
    Table((), [(f"  {name}", *others) for name, *others in rows], fold=2),
    *([f"About, by prices of {origins(prices)}."] if prices else []),
    "`keras-remote jobs why JOB` says why, `jobs cancel JOB` ends it.",
  ]
