from absl.testing import absltest

from keras_remote.cli import plans
from keras_remote.cli.infra.engine import Change, Op, Resource
from keras_remote.cli.infra.kinds import CLUSTER, POOL, SERVICE

_CHANGES = (
  Change(Op.CREATE, Resource(SERVICE, "a", {"service": "a.googleapis.com"})),
  Change(Op.CREATE, Resource(SERVICE, "b", {"service": "b.googleapis.com"})),
  Change(Op.DELETE, Resource(SERVICE, "c", {"service": "c.googleapis.com"})),
  Change(Op.REPLACE, Resource(CLUSTER, "cluster", {"name": "mine"})),
  Change(Op.SAME, Resource(POOL, "cpu", {"name": "cpu"})),
  Change(Op.UPDATE, Resource("gcp:new/thing:Thing", "odd")),
)


class PlansTest(absltest.TestCase):
  def test_table(self) -> None:
    """What there is much of is counted; what stays is left out."""
    rows = plans.table(plans.changing(_CHANGES)).rows
    self.assertEqual(
      rows,
      [
        ("± replace", "cluster", "mine"),
        ("~ change", "Thing", "odd"),
        ("+ make", "APIs", "2"),
        ("- remove", "API", "1"),
      ],
    )

  def test_document(self) -> None:
    """Programs get each by itself, by the name that Google has for it."""
    found = plans.document(_CHANGES)
    self.assertLen(found, len(_CHANGES))
    first = {"op": Op.CREATE, "kind": SERVICE, "name": "a.googleapis.com"}
    self.assertEqual(found[0], first)


if __name__ == "__main__":
  absltest.main()
