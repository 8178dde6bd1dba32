"""Whose a resource is: ours, or somebody's whom we joined."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi


@dataclass(frozen=True)
class Ownership:
  """What of the program's resources was there before.

  Attributes:
    adopted: its ids, by our names for it. It is changed where it can be, never
      replaced, and left behind in the end.
  """

  adopted: Mapping[str, str] = field(default_factory=dict)

  def options(
    self,
    name: str,
    *,
    after: Sequence[pulumi.Resource] = (),
    settled: Sequence[str] = (),
    foreign: Sequence[str] = (),
  ) -> pulumi.ResourceOptions:
    """The options of the resource of this name.

    Args:
      after: what must be there first, beside what its arguments say.
      settled: arguments that count only when it is made.
      foreign: the same for one that is adopted.
    """
    adopted = name in self.adopted
    return pulumi.ResourceOptions(
      depends_on=list(after),
      ignore_changes=[*settled, *(foreign if adopted else ())],
      import_=self.adopted.get(name),
      retain_on_delete=adopted or None,
      # Its name is said here, so that another one cannot be there beside it.
      delete_before_replace=True,
    )
