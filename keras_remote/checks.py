"""What a call takes, link by link: what is there, and what mends the rest.

Rooms offer their links; `ensure_credentials` and `keras-remote doctor` look at
them.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from keras_remote import clock, errors

# Seconds that one link may take.
LIMIT = 15.0


@dataclass(frozen=True)
class Check:
  """How one link is.

  Attributes:
    what: the link's name.
    ok: None where that is not known, or where it is not needed.
    sentence: what was seen.
    cure: what mends it; empty where the sentence says so, or nothing need.
    error: what a call would raise there.
  """

  what: str
  ok: bool | None
  sentence: str
  cure: str = ""
  error: errors.KerasRemoteError | None = field(
    default=None, repr=False, compare=False
  )


@dataclass(frozen=True)
class Link:
  """One link of the chain, which can be looked at.

  Attributes:
    look: says how it is; an error of ours means that it is not well.
    needs: links without which nothing can be said of this one.
    vital: whether no call succeeds without it.
    mend: mends it, where this user can.
    asks: whether `mend` asks somebody at a terminal.
  """

  what: str
  look: Callable[[], Check]
  needs: Sequence[str] = ()
  vital: bool = True
  mend: Callable[[], None] | None = None
  asks: bool = False


def look_at(links: Sequence[Link], *, limit: float = LIMIT) -> Iterator[Check]:
  """How each link is, in their order, as soon as that is known.

  They are looked at side by side, each after what it needs. Nothing waits for
  one that hangs: it counts as not well after `limit` seconds.
  """
  known = {link.what for link in links}
  found: dict[str, Check] = {}
  deadlines: dict[str, float] = {}
  blocked: set[str] = set()
  news: queue.SimpleQueue[Check] = queue.SimpleQueue()
  shown = 0
  while shown < len(links):
    for link in links:
      needs = known.intersection(link.needs)
      if link.what in deadlines or not needs <= found.keys():
        continue
      deadlines[link.what] = clock.monotonic() + limit
      # In the links' order: the first is nearest to the cause.
      broken = [each.what for each in links if each.what in needs]
      broken = [w for w in broken if found[w].ok is False or w in blocked]
      if broken:
        blocked.add(link.what)
        sentence = f"not looked at: it needs {broken[0]}"
        news.put(Check(link.what, None, sentence))
      else:
        # A daemon: nobody can end one that hangs.
        looking = threading.Thread(target=_look, args=(link, news), daemon=True)
        looking.start()
    while shown < len(links) and links[shown].what in found:
      yield found[links[shown].what]
      shown += 1
    open_ends = {w: at for w, at in deadlines.items() if w not in found}
    if not open_ends:
      continue
    first = min(open_ends, key=lambda what: open_ends[what])
    try:
      patience = max(0.0, open_ends[first] - clock.monotonic())
      check = news.get(timeout=patience)
      found.setdefault(check.what, check)
    except queue.Empty:
      sentence = f"no answer within {limit:.0f} s"
      cure = "look at this machine's network and proxies, and try again"
      found[first] = Check(first, False, sentence, cure)


def _look(link: Link, news: "queue.SimpleQueue[Check]") -> None:
  try:
    check = link.look()
  except errors.KerasRemoteError as error:
    check = Check(link.what, False, str(error), error=error)
  except Exception as error:  # The edge of a thread: it must not vanish.
    check = Check(link.what, False, f"{type(error).__name__}: {error}")
  news.put(check)
