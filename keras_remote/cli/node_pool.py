"""One pool of machines, as data."""

import re
from dataclasses import dataclass

from keras_remote import errors
from keras_remote.accelerators.config import Accelerator
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.accelerators.registry import ON_DEMAND, RESERVED, SPOT, ways

# Machines of a pool where nobody says how many, and at most.
MOST_NODES, _LIMIT = 4, 1000
_RESERVATION = re.compile(
  r"(projects/[a-z0-9.:-]+/reservations/)?[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
)


@dataclass(frozen=True)
class NodePool:
  """Machines of one kind, as many as jobs need.

  Attributes:
    accelerator: its canonical name, such as "v5e-8", "l4x4:spot" or "cpu".
    min_nodes: machines that are there with no job too.
    max_nodes: of an accelerator of one host; a slice of several hosts is a
      pool with all of them or none, see `most`.
    reservation: whose machines they are: its name, or in another project
      "projects/PROJECT/reservations/NAME"; "" for any machine.
    number: tells pools of one accelerator apart.
  """

  accelerator: str
  min_nodes: int = 0
  max_nodes: int = MOST_NODES
  reservation: str = ""
  number: int = 1

  def __post_init__(self) -> None:
    kind = parse_accelerator(self.accelerator)
    name = "cpu" + ":spot" * kind.spot if kind.category == "cpu" else str(kind)
    if self.accelerator != name:
      raise errors.ConfigError(
        f"a pool's accelerator is {self.accelerator!r}: write '{name}'"
      )
    self._check_nodes()
    if self.reservation and kind.spot:
      raise errors.ConfigError(
        f"the pool of {name} has the reservation {self.reservation!r}, but "
        f"reserved machines are never spot: ask for "
        f"'{name.removesuffix(':spot')}', or leave the reservation out"
      )
    if self.reservation and not _RESERVATION.fullmatch(self.reservation):
      raise errors.ConfigError(
        f"no reservation is called {self.reservation!r}: give its name, or "
        "projects/PROJECT/reservations/NAME for one of another project"
      )
    if not 1 <= self.number <= 999:
      raise errors.ConfigError(
        f"the pool of {name} has the number {self.number}: use 1 to 999"
      )

  def _check_nodes(self) -> None:
    least, most, what = self.min_nodes, self.max_nodes, self.accelerator
    if self.gang > 1:
      if least not in (0, self.gang) or most not in (MOST_NODES, self.gang):
        raise errors.ConfigError(
          f"a pool of {what} is one slice, whose {self.gang} hosts come and go "
          f"together, but it is to have {least} to {most}: leave the numbers "
          "out, and add the pool once more for another slice"
        )
    elif not 0 <= least <= most or not 1 <= most <= _LIMIT:
      raise errors.ConfigError(
        f"the pool of {what} is to have {least} to {most} machines: the least "
        "is 0 or more and no more than the most, which is 1 to "
        f"{_LIMIT}"
      )

  def check_offered(self) -> None:
    """Passes unless Google is known not to have such machines in this way.

    Apart from the other checks, as that may change: what is there can always
    be shown and taken down.

    Raises:
      ConfigError: it does not; says in which way it has them.
    """
    kind, plain = self.kind, self.accelerator.removesuffix(":spot")
    way = SPOT if kind.spot else RESERVED if self.reservation else ON_DEMAND
    known = ways(kind)
    if way in known:
      return
    cures = {
      SPOT: f"'{plain}:spot'" + ", unreserved" * bool(self.reservation),
      RESERVED: f"'{plain}' with --reservation, which names yours",
    }
    cure = ", or for ".join(cures[each] for each in known)
    raise errors.ConfigError(f"Google has no {plain} {way}: ask for {cure}")

  @property
  def kind(self) -> Accelerator:
    """The accelerator of its machines."""
    return parse_accelerator(self.accelerator)

  @property
  def gang(self) -> int:
    """Hosts that come and go together."""
    return self.kind.hosts

  @property
  def most(self) -> int:
    """Machines that it has when it is full."""
    return self.gang if self.gang > 1 else self.max_nodes

  @property
  def name(self) -> str:
    """What GKE calls it: a DNS-1035 label of up to 40 characters."""
    kind = self.kind
    plain = self.accelerator.removesuffix(":spot")
    words = [] if plain.startswith(kind.category) else [kind.category]
    words += [plain, *["spot"] * kind.spot]
    return "-".join([*words, *[str(self.number)] * (self.number > 1)])
