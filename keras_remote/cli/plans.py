"""What is going to happen to resources, as a table and a document."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from keras_remote.cli.infra.engine import Change, Op
from keras_remote.cli.infra.words import noun, title
from keras_remote.cli.output import Table

_SIGNS = {
  Op.CREATE: "+ make",
  Op.UPDATE: "~ change",
  Op.REPLACE: "± replace",
  Op.DELETE: "- remove",
  Op.ADOPT: "= take over",
}
# Of these there are many, and nobody reads them one by one.
_COUNTED = ("API", "right")


def changing(changes: Iterable[Change]) -> list[Change]:
  """Those that change something."""
  return [change for change in changes if change.op is not Op.SAME]


def table(changes: Sequence[Change]) -> Table:
  """A row for each resource, and one for each kind of which there are many."""
  rows: list[tuple[str, str, str]] = []
  counted: Counter[tuple[str, str]] = Counter()
  for change in changes:
    what = noun(change.resource.kind)
    if what in _COUNTED:
      counted[_SIGNS[change.op], what] += 1
    else:
      rows.append((_SIGNS[change.op], what, title(change.resource)))
  rows += [
    (sign, f"{what}s" if count > 1 else what, str(count))
    for (sign, what), count in counted.items()
  ]
  return Table((), rows, fold=2)


def document(changes: Iterable[Change]) -> list[dict[str, Any]]:
  """The same for programs, one by one."""
  return [
    {
      "op": change.op,
      "kind": change.resource.kind,
      "name": title(change.resource),
    }
    for change in changes
  ]
