"""Which host holds up its group, from what each of them is at."""

import itertools
from collections.abc import Mapping, Sequence

from keras_remote.job.doing import At, Doing, Hang, lasted
from keras_remote.job.line import joined

# Seconds after which a wait is one for a host that does not come.
PATIENCE = 10.0
# All wait, and nothing tells for whom: perhaps only for their devices.
_ALL_WAIT = 60.0
# Code that keeps Python's lock may do so, as long as nobody waits for it.
_HELD = 30.0
_WAITS = (At.WAITS, At.JOINS)
# More of them are only counted.
_MOST_NAMED = 3
# What a heart that is silent is told with.
_SILENT = (
  "has not been heard of for more than 30 s: its first process or its machine "
  "is stopped, or cut off from the store"
)


def judge(doings: Mapping[int, Doing], silent: Sequence[int]) -> Hang | None:
  """What holds up the group; None where that is nothing.

  Args:
    doings: what hosts are at, as far as is known, with times as of now.
    silent: the hosts whose hearts are.
  """
  known = {h: d for h, d in sorted(doings.items()) if h not in silent}
  waiting = {
    host: doing
    for host, doing in known.items()
    if doing.at in _WAITS and doing.seconds >= PATIENCE
  }
  patience = PATIENCE if waiting else _HELD
  late = {
    host: doing
    for host, doing in known.items()
    if doing.at not in _WAITS
    and doing.seconds >= patience
    and (waiting or doing.at is At.HELD)
  }
  if late or silent:
    # The same for all of them: each has lasted for as long.
    time = lasted(min((_time(d) for d in (waiting | late).values()), default=0))
    told = [silence(host) for host in sorted(silent)]
    told += [_late(host, doing, time) for host, doing in late.items()]
    parts = [_wait(waiting, time)] if waiting else []
    parts += told[:_MOST_NAMED]
    if len(told) > _MOST_NAMED:
      parts.append(f"{len(told) - _MOST_NAMED} more hosts hold them up too")
    return Hang("; ".join(parts), tuple(sorted({*silent, *late})))
  return _scattered(waiting) if waiting.keys() == doings.keys() else None


def silence(host: int) -> str:
  """What is said of a host whose heart is silent."""
  return f"host {host} {_SILENT}"


def _time(doing: Doing) -> float:
  """Seconds for which all has been true that is told of it."""
  settled = doing.at is At.RUNS and _settled(doing)
  return min(doing.seconds, doing.still) if settled else doing.seconds


def _scattered(waiting: Mapping[int, Doing]) -> Hang | None:
  """All wait, at different places: perhaps each for another collective."""
  least = min((doing.seconds for doing in waiting.values()), default=0.0)
  if least < _ALL_WAIT:
    return None
  places: dict[str, list[int]] = {}
  for host, doing in waiting.items():
    places.setdefault(_place(doing), []).append(host)
  if len(places) < 2:
    return None
  told = [f"{_hosts(hosts)}{place}" for place, hosts in places.items()]
  return Hang(
    f"all hosts have waited for more than {lasted(least)}, not all at the "
    f"same place: {', '.join(told[:_MOST_NAMED])}",
    tuple(waiting),
  )


def _wait(waiting: Mapping[int, Doing], time: str) -> str:
  have = "has" if len(waiting) == 1 else "have"
  joins = any(doing.at is At.JOINS for doing in waiting.values())
  what = "for the group to join" if joins else "in a collective"
  return f"{_hosts(list(waiting))} {have} waited {what} for more than {time}"


def _late(host: int, doing: Doing, time: str) -> str:
  which, place = _hosts([host]), _place(doing)
  if doing.at is At.RETURNED:
    return f"{which} has returned"
  if doing.at is At.COMPILES:
    return f"{which} has compiled for more than {time}{place}"
  if doing.at is At.HELD:
    seen = f", last seen{place}" if place else ""
    return (
      f"{which} has for more than {time} run code that keeps Python's lock, or "
      f"was stopped{seen}"
    )
  place = place if _settled(doing) else ""
  return f"{which} has been{place or ' elsewhere'} for more than {time}"


def _settled(doing: Doing) -> bool:
  return bool(doing.place) and doing.still >= PATIENCE


def _place(doing: Doing) -> str:
  return f" at {doing.place} in {doing.function}" if doing.place else ""


def _hosts(hosts: Sequence[int]) -> str:
  """Such as `host 2`, `hosts 0, 1 and 3` or `hosts 0-5 and 7`."""
  runs: list[str] = []
  numbered = enumerate(sorted(hosts))
  for _, group in itertools.groupby(
    numbered, key=lambda each: each[1] - each[0]
  ):
    run = [host for _, host in group]
    if len(run) > 2:
      runs.append(f"{run[0]}-{run[-1]}")
    else:
      runs += map(str, run)
  return f"host{'s' * (len(hosts) > 1)} {joined(runs)}"
