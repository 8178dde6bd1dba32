"""Tests of payloads: calls that travel, and those that cannot."""

import asyncio
import dataclasses
import functools
import hashlib
import io
import linecache
import os
import pathlib
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote.pickling import payload
from keras_remote.pickling.reference_test import WRAPPER, written_module

_ROOT = pathlib.Path(payload.__file__).parents[2]


def arrived(
  function: Callable[..., Any], *args: Any, **kwargs: Any
) -> payload.Payload:
  """The call as it comes out of the stream."""
  stream = io.BytesIO()
  payload.save(function, args, kwargs, stream)
  stream.seek(0)
  return payload.load(stream)


def called(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
  """What the call returns there."""
  call = arrived(function, *args, **kwargs)
  return call.function(*call.args, **call.kwargs)


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
  """A frozen class without `__dict__`."""

  x: int


class Stateful:
  """A class with a method."""

  def __init__(self, value: object) -> None:
    self.value = value

  def get(self, data: object = None) -> object:
    """The value."""
    return self.value


def use(data: object, *rest: object, **named: object) -> object:
  """The argument."""
  return data


class TravelTest(parameterized.TestCase):
  def test_lambda(self) -> None:
    """A lambda travels by value."""
    self.assertEqual(called(lambda: 3), 3)

  def test_closure(self) -> None:
    """What a nested function captures travels with it."""
    captured = [4]

    def train() -> int:
      return captured[0]

    self.assertEqual(called(train), 4)

  def test_bound_method(self) -> None:
    """A method travels with its instance."""
    self.assertEqual(called(Stateful(5).get), 5)

  def test_partial(self) -> None:
    """A partial keeps its function and arguments."""
    self.assertEqual(called(functools.partial(use, 6)), 6)

  def test_async_function(self) -> None:
    """An async function arrives as one."""

    async def train() -> int:
      return 7

    self.assertEqual(asyncio.run(called(train)), 7)

  def test_frozen_dataclass_with_slots(self) -> None:
    """Instances of frozen classes with slots arrive equal."""
    self.assertEqual(called(use, Point(8)), Point(8))

  def test_cached_function(self) -> None:
    """A local function under lru_cache arrives cached, parameters kept."""

    @functools.lru_cache(maxsize=3)
    def train() -> object:
      return object()

    function = arrived(train).function
    self.assertIs(function(), function())
    self.assertEqual(function.cache_parameters()["maxsize"], 3)  # pyrefly: ignore

  def test_cached_property(self) -> None:
    """A local class keeps its cached properties, with name and doc."""

    class Config:
      @functools.cached_property
      def made(self) -> object:
        """Made once."""
        return __class__()

    config = called(lambda: Config())
    self.assertIs(config.made, config.made)
    self.assertIs(type(config.made), type(config))
    self.assertEqual(type(config).made.__doc__, "Made once.")

  @given(
    st.recursive(
      st.none() | st.integers() | st.floats(allow_nan=False) | st.text(),
      lambda item: st.lists(item) | st.dictionaries(st.text(), item),
    )
  )
  def test_any_plain_argument(self, value: object) -> None:
    """Plain values arrive equal."""
    self.assertEqual(called(use, value), value)

  def test_by_reference(self) -> None:
    """A module's function arrives as that very function; its module is told."""
    module = written_module(self, "def f(): return 1")
    stream = io.BytesIO()
    saved = payload.save(module.f, (), {}, stream)
    self.assertEqual(saved.modules, (module.__name__,))
    self.assertNotIn(b"return 1", stream.getvalue())
    stream.seek(0)
    self.assertIs(payload.load(stream).function, module.f)

  def test_by_value(self) -> None:
    """A module named in by_value need not exist there."""
    module = written_module(self, "def f(): return 1")
    stream = io.BytesIO()
    saved = payload.save(module.f, (), {}, stream, by_value=[module])
    del sys.modules[module.__name__]
    pathlib.Path(str(module.__file__)).unlink()
    stream.seek(0)
    self.assertEqual(payload.load(stream).function(), 1)
    self.assertEqual(saved.modules, ())

  def test_registry_is_left_as_found(self) -> None:
    """by_value holds for one call, side by side with others and users' own."""
    ours = written_module(self, "def f(): return 1")
    users = written_module(self, "def f(): return 1")
    cloudpickle.register_pickle_by_value(users)
    self.addCleanup(cloudpickle.unregister_pickle_by_value, users)

    told: list[tuple[str, ...]] = []

    def save_plainly() -> None:
      told.append(payload.save(ours.f, (), {}, io.BytesIO()).modules)

    other = threading.Thread(target=save_plainly)

    class Meanwhile:
      def __reduce__(self) -> Any:
        other.start()
        other.join(0.2)  # Ends only where by_value holds for it too.
        return list, ()

    saved = payload.save(
      ours.f, (Meanwhile(),), {}, io.BytesIO(), by_value=[ours, users]
    )
    other.join()
    self.assertEqual([saved.modules, *told], [(), (ours.__name__,)])
    self.assertEqual(
      cloudpickle.list_registry_pickle_by_value(), {users.__name__}
    )

  def test_decorated_function(self) -> None:
    """A decorated function goes by reference and arrives undecorated."""
    module = written_module(self, WRAPPER + "@run\ndef f(): return 9\n")
    call = arrived(module.f.__wrapped__)
    self.assertIs(call.function, module.f.__wrapped__)

  def test_captured_decorated_function(self) -> None:
    """A decorated function that another captures arrives undecorated."""
    module = written_module(self, WRAPPER + "@run\ndef f(): return 9\n")
    other = module.f
    self.assertEqual(called(lambda: other()), 9)
    self.assertEqual(called(lambda: module.f.__wrapped__()), 9)
    self.assertEqual(called(Stateful(module.f).get)(), 9)

  def test_modules_captured(self) -> None:
    """Captured modules and those of captured classes are told in order."""
    module = written_module(self, "class C: pass")

    def train(x: object) -> object:
      return np.ones(3), x

    saved = payload.save(train, (module.C(),), {}, io.BytesIO())
    self.assertEqual(saved.modules, ("numpy", module.__name__))

  def test_digest_and_size(self) -> None:
    """They are those of the bytes."""
    stream = io.BytesIO()
    saved = payload.save(use, (np.ones(100_000),), {}, stream)
    self.assertEqual(saved.size, len(stream.getvalue()))
    self.assertEqual(
      saved.digest, hashlib.sha256(stream.getvalue()).hexdigest()
    )

  @parameterized.parameters("C", "F")
  def test_arrays_are_not_copied(self, order: Any) -> None:
    """The stream is given a large array's own memory."""
    array = np.ones((512, 1024), order=order)
    shared: list[bool] = []

    class Stream(io.BytesIO):
      def write(self, chunk: Any, /) -> int:  # pyrefly: ignore
        shared.append(np.shares_memory(np.frombuffer(chunk, "u1"), array))
        return super().write(chunk)

    payload.save(use, (array,), {}, Stream())
    self.assertEqual(shared.count(True), 1)

  @parameterized.parameters("environ", "environb")
  def test_the_environment_stays_here(self, name: str) -> None:
    """Captured, passed or within something, it is the job's own there."""
    environ = getattr(os, name)
    get = environ.get
    secret = uuid.uuid4().hex
    os.environ["PAYLOAD_TEST"] = secret
    self.addCleanup(os.environ.pop, "PAYLOAD_TEST")
    stream = io.BytesIO()
    payload.save(lambda x=0: (environ, get), ({"x": environ},), {}, stream)
    self.assertNotIn(secret.encode(), stream.getvalue())
    stream.seek(0)
    call = payload.load(stream)
    self.assertIs(call.args[0]["x"], environ)
    self.assertIs(call.function()[0], environ)

  def test_what_came_by_value(self) -> None:
    """Functions and classes are told, those that others refer to included."""

    class Local:
      pass

    def inner() -> object:
      return Local

    def outer() -> object:
      return inner()

    names = {f.__name__ for f in arrived(outer, Stateful).defined}
    self.assertEqual(names, {"inner", "outer"})

  def test_source_travels(self) -> None:
    """Tracebacks show the lines of functions whose file is not there."""
    file = "<a cell>"
    text = "def train():\n  return 1\n"
    linecache.cache.update(  # pyrefly: ignore
      {file: (len(text), None, text.splitlines(True), file)}
    )
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, file, "exec"), space)
    stream = io.BytesIO()
    payload.save(space["train"], (), {}, stream)
    del linecache.cache[file]
    stream.seek(0)
    payload.load(stream)
    self.addCleanup(linecache.cache.pop, file)
    self.assertEqual(linecache.getline(file, 2), "  return 1\n")


class ScriptTest(absltest.TestCase):
  def test_script_in_two_processes(self) -> None:
    """What `__main__` defines arrives whole where it does not exist.

    Classes, recursion between decorated functions, globals; and an instance
    that comes back is of the class that went.
    """
    folder = pathlib.Path(self.create_tempdir().full_path)
    script = """
    import sys
    from keras_remote.pickling import payload, result
    import dataclasses

    @dataclasses.dataclass(frozen=True, slots=True)
    class Point:
      x: int
      def shifted(self):
        return Point(self.x + STEP)

    STEP = 1

    @run
    def even(n):
      return Point(n) if n == 0 else odd(n - 1)

    @run
    def odd(n):
      return even(n - 1).shifted()

    if sys.argv[1] == "save":
      import subprocess
      with open("call", "wb") as stream:
        print(payload.save(even.__wrapped__, (4,), {}, stream).modules)
      subprocess.run([sys.executable, "job.py"], check=True)
      shifted = Point.shifted
      with open("value", "rb") as stream:
        value = result.load_result(stream).value
      assert type(value) is Point and Point.shifted is shifted
      STEP = 10
      print(value, value.shifted())
    """
    job = """
    from keras_remote.pickling import payload, result
    with open("call", "rb") as stream:
      call = payload.load(stream)
    with open("value", "wb") as stream:
      result.save_result(call.function(*call.args), stream)
    """
    (folder / "script.py").write_text(WRAPPER + textwrap.dedent(script))
    (folder / "job.py").write_text(textwrap.dedent(job))
    done = subprocess.run(
      [sys.executable, "script.py", "save"],
      cwd=folder,
      env={"PYTHONPATH": str(_ROOT)},
      capture_output=True,
      text=True,
      timeout=60,
    )
    self.assertEqual(done.stderr, "")
    modules, value = done.stdout.splitlines()
    self.assertEqual(value, "Point(x=2) Point(x=12)")
    self.assertNotIn("numpy", modules)

  def test_large_argument_in_little_memory(self) -> None:
    """256 MB are pickled with less than half of it on top."""
    script = """
    import resource, sys
    import numpy as np
    from keras_remote.pickling import payload
    array = np.ones(32_000_000)
    def peak():
      return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    before = peak()
    with open("/dev/null", "wb") as stream:
      payload.save(len, (array,), {}, stream)
    print(peak() - before)
    """
    done = subprocess.run(
      [sys.executable, "-c", textwrap.dedent(script)],
      env={"PYTHONPATH": str(_ROOT)},
      capture_output=True,
      text=True,
      check=True,
      timeout=60,
    )
    self.assertLess(int(done.stdout), 128e6)


if __name__ == "__main__":
  absltest.main()
