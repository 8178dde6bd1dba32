"""Tests of references: what is found again by name, and how it is unwrapped."""

import functools
import importlib
import itertools
import json
import pathlib
import sys
import textwrap
from types import ModuleType

from absl.testing import absltest, parameterized

from keras_remote.pickling.reference import Reference, reference, resolve

_numbers = itertools.count()

WRAPPER = """
import functools

class run:
  '''Stands where keras_remote.run does.'''

  def __init__(self, function):
    functools.update_wrapper(self, function)

  def __call__(self, *args):
    raise AssertionError("It would start a job within a job.")

  def __reduce__(self):
    from keras_remote.pickling.reference import reduce_wrapped
    return reduce_wrapped(self.__wrapped__)

"""


def written_module(case: absltest.TestCase, source: str) -> ModuleType:
  """A module that is imported from a file, gone after the test."""
  folder = pathlib.Path(case.create_tempdir().full_path)
  name = f"written_{next(_numbers)}"
  (folder / f"{name}.py").write_text(textwrap.dedent(source))
  sys.path.insert(0, str(folder))
  case.addCleanup(sys.path.remove, str(folder))
  case.addCleanup(sys.modules.pop, name, None)
  importlib.invalidate_caches()
  return importlib.import_module(name)


class ReferenceTest(parameterized.TestCase):
  def test_plain_function_goes_by_name(self) -> None:
    """A function of a module is found by module and qualified name."""
    found = reference(json.dumps)
    self.assertEqual(found, Reference("json", "dumps"))
    self.assertEqual(str(found), "json:dumps")

  def test_wrapped_function_is_unwrapped(self) -> None:
    """The name may belong to a wrapper: the function beneath is found."""
    module = written_module(self, WRAPPER + "@run\ndef f(): return 3\n")
    function = module.f.__wrapped__
    found = reference(function)
    assert found is not None
    self.assertFalse(found.direct)
    self.assertIs(resolve(found), function)

  def test_right_layer_is_found_where_run_wraps_nothing(self) -> None:
    """A wrapper beneath `run` stays, though in a job `run` is not there."""
    source = """
    @run
    @twice
    def f(): return 3
    """
    twice = """
def twice(function):
  @functools.wraps(function)
  def doubled(): return 2 * function()
  return doubled
"""
    module = written_module(self, WRAPPER + twice + textwrap.dedent(source))
    doubled = module.f.__wrapped__
    found = reference(doubled)
    assert found is not None
    vars(module)["f"] = doubled
    resolved = resolve(found)
    self.assertIs(resolved, doubled)

  @parameterized.named_parameters(
    ("lambda", lambda: 0),
    ("partial", functools.partial(print)),
    ("nested", written_module),
  )
  def test_nameless_is_not_found(self, function: object) -> None:
    """What has no name in a module, or another's, goes by value."""
    if function is written_module:

      def function() -> None: ...

    self.assertIsNone(reference(function))


if __name__ == "__main__":
  absltest.main()
