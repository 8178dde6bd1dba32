"""Whose a resource is: ours, or somebody's whom we joined."""

import inspect
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
      ignore_changes=list(
        dict.fromkeys([*settled, *(foreign if adopted else ())])
      ),
      import_=self.adopted.get(name),
      retain_on_delete=adopted or None,
      # Its name is said here, so that another one cannot be there beside it.
      delete_before_replace=True,
    )


def all_but(args: type, *asked: str) -> list[str]:
  """The names of a resource's arguments, without those that are asked for.

  Of one that is adopted also what no program says is foreign: the provider
  would take it away.

  Args:
    args: the class of its arguments, such as storage.BucketArgs.
  """
  return [
    name for name in inspect.signature(args).parameters if name not in asked
  ]
