"""Calls that go the whole way: from a script to a job and back."""

import hashlib
import json
import subprocess
import sys
import time

from absl.testing import absltest, parameterized

from tests.integration.harness import ProjectTest

# A module of the project with a job that goes on until the test says so.
_WORK = """
import pathlib, time
import keras_remote

SIGN = {sign!r}

@keras_remote.run
def hold(value=None):
  print("holding")
  while not pathlib.Path(SIGN).exists():
    time.sleep(0.01)
  print("let go")
  return value

def wait_for(state, job):
  while job.status() != state:
    time.sleep(0.01)

def let_go():
  pathlib.Path(SIGN).touch()
"""


class FunctionsTest(ProjectTest):
  def test_script(self) -> None:
    """A script's function knows what the script set, and runs elsewhere."""
    shown = self.output("""
      import os
      import keras_remote

      factor = int("3")

      class Point:
        def __init__(self, x):
          self.x = x

      @keras_remote.run
      def scale(point, *more, offset=0):
        return Point(factor * point.x + sum(more) + offset), os.getpid()

      point, there = scale(Point(2), 10, 20, offset=100)
      print(point.x, isinstance(point, Point), there == os.getpid())
    """)
    self.assertEqual(shown, "136 True False\n")

  def test_module(self) -> None:
    """A module's function goes by reference: the job imports the module."""
    self.write("models/__init__.py", "")
    self.write(
      "models/net.py",
      """
      import os
      import keras_remote

      IMPORTED_BY = os.getpid()

      @keras_remote.run
      def decorated():
        return IMPORTED_BY == os.getpid()

      def plain():
        return IMPORTED_BY == os.getpid()
      """,
    )
    shown = self.output("""
      import keras_remote
      from models import net

      print(net.decorated(), keras_remote.run(net.plain)())
      print(keras_remote.attach("decorated").spec.entry.qualname)
    """)
    self.assertEqual(shown, "True True\nmodels.net:decorated\n")

  def test_anonymous(self) -> None:
    """A lambda, a closure, a nested function and a partial arrive whole."""
    shown = self.output("""
      import functools
      import keras_remote

      def make(base):
        count = 0
        @keras_remote.run
        def nested(x):
          def inner():
            nonlocal count
            count += x
            return base + count
          return inner() + inner()
        return nested

      def power(base, exponent):
        return base ** exponent

      print(keras_remote.run(lambda x: x + 1)(1))
      print(make(100)(1))
      print(keras_remote.run(functools.partial(power, exponent=3))(2))
    """)
    self.assertEqual(shown, "2\n203\n8\n")

  def test_methods(self) -> None:
    """A decorated method gets its instance, a bound one takes it along."""
    source = """
      import keras_remote

      class Model:
        def __init__(self, weight):
          self.weight = weight

        @keras_remote.run
        def predict(self, x):
          return self.weight * x

        def plain(self, x):
          return self.weight + x

        @classmethod
        @keras_remote.run
        def named(cls, x):
          return cls.__name__, x

        @staticmethod
        @keras_remote.run
        def static(x):
          return -x
    """
    use = """
      model = Model(3)
      print(model.predict(4), Model.predict(model, 5))
      print(keras_remote.run(model.plain)(4))
      print(model.static(4))
      print(Model.named(4))
    """
    expected = "12 15\n7\n-4\n('Model', 4)\n"
    with self.subTest("script"):
      self.assertEqual(self.output(source + use), expected)
    with self.subTest("module"):
      self.write("model.py", source)
      imports = """
      import keras_remote
      from model import Model
      """
      self.assertEqual(self.output(imports + use), expected)

  def test_async(self) -> None:
    """The value of an async function is what it gives when it is awaited."""
    shown = self.output("""
      import asyncio
      import keras_remote

      @keras_remote.run
      async def total(*numbers):
        async def later(x):
          await asyncio.sleep(0)
          return x
        return sum(await asyncio.gather(*map(later, numbers)))

      print(total(1, 2, 3), total.local(1, 2, 3))
    """)
    self.assertEqual(shown, "6 6\n")

  def test_recursion(self) -> None:
    """Decorated functions that call each other in a job start no further."""
    source = """
      import os
      import keras_remote

      @keras_remote.run
      def even(n):
        return (True, os.getpid()) if n == 0 else odd(n - 1)

      @keras_remote.run
      def odd(n):
        return (False, os.getpid()) if n == 0 else even(n - 1)

      @keras_remote.run
      def outer(n):
        return even(n) == (n % 2 == 0, os.getpid())
    """
    count = """
      import keras_remote
      print(outer(5), len(keras_remote.list_jobs()))
    """
    with self.subTest("script"):
      self.assertEqual(self.output(source + count), "True 1\n")
    with self.subTest("module"):
      self.write("parity.py", source)
      imports = """
      from parity import outer
      """
      self.assertEqual(self.output(imports + count), "True 2\n")

  def test_what_cannot_be_called_once(self) -> None:
    """Generators and classes are refused where they are decorated."""
    ran = self.run_script("""
      import keras_remote

      def count():
        yield 1

      async def stream():
        yield 1

      class Model:
        pass

      for thing in count, stream, Model:
        try:
          keras_remote.run(thing)
        except keras_remote.ConfigError as error:
          print(error)
    """)
    generator, stream, model = ran.stdout.splitlines()
    self.assertStartsWith(generator, "count is a generator:")
    self.assertIn("return a list instead", generator)
    self.assertStartsWith(stream, "stream is a generator:")
    self.assertStartsWith(model, "Model is a class:")


class SurroundingsTest(ProjectTest):
  def test_src_layout(self) -> None:
    """What is imported from src/ here is imported from src/ there."""
    self.write("src/lib/__init__.py", "")
    self.write("src/lib/deep.py", "def answer(): return __file__")
    shown = self.output(
      """
      import keras_remote
      from lib import deep

      @keras_remote.run
      def answer():
        from lib import deep
        return deep.answer()

      there = answer()
      print(there.endswith("/src/lib/deep.py"), there == deep.answer())
      """,
      PYTHONPATH=str(self.project / "src"),
    )
    self.assertEqual(shown, "True False\n")

  def test_editable_install(self) -> None:
    """A project that only a finder knows, as editable installs do, travels."""
    self.write("code/lib/__init__.py", "")
    self.write("code/lib/deep.py", "def answer(): return __file__")
    shown = self.output("""
      import sys, keras_remote
      from importlib.machinery import PathFinder

      class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
          if name == "lib":
            return PathFinder.find_spec(name, [sys.path[0] + "/code"])

      sys.meta_path.append(Finder)
      from lib import deep

      print(keras_remote.run(deep.answer)().endswith("/code/lib/deep.py"))
    """)
    self.assertEqual(shown, "True\n")

  def test_place(self) -> None:
    """In the job the current directory is the same place in the project."""
    self.write("sub/data.txt", "of sub")
    self.write("README", "of root")
    shown = self.output("""
      import os, keras_remote

      os.chdir("sub")

      @keras_remote.run
      def read():
        with open("data.txt") as near, open("../README") as far:
          return near.read(), far.read(), os.getcwd()

      near, far, where = read()
      print(near, far, where == os.getcwd())
    """)
    self.assertEqual(shown, "of sub of root False\n")

  def test_working_dir(self) -> None:
    """working_dir= sends that folder, and the job starts in its root."""
    self.write("data/only.txt", "")
    shown = self.output("""
      import os, keras_remote

      @keras_remote.run(working_dir="data")
      def names():
        return os.listdir()

      print(names())
    """)
    self.assertEqual(shown, "['only.txt']\n")

  def test_import_inside(self) -> None:
    """A module that only the function imports is found in the project."""
    self.write("late.py", "value = 7")
    shown = self.output("""
      import keras_remote

      @keras_remote.run
      def use():
        import late
        return late.value

      print(use())
    """)
    self.assertEqual(shown, "7\n")

  def test_outside_module(self) -> None:
    """What is neither in the project nor installed goes by value."""
    outside = self.base / "outside"
    outside.mkdir()
    (outside / "tool.py").write_text("def twice(x): return 2 * x")
    shown = self.output(f"""
      import sys, keras_remote
      sys.path.append({str(outside)!r})
      import tool

      @keras_remote.run
      def use(x):
        return tool.twice(x)

      print(use(4))
    """)
    self.assertEqual(shown, "8\n")

  def test_keras_backend(self) -> None:
    """KERAS_BACKEND is set before the job imports anything for the user."""
    # What lies in site-packages is imported early, before the payload.
    early = self.base / "site-packages"
    early.mkdir()
    (early / "early.py").write_text(
      'import os\nbackend = os.environ.get("KERAS_BACKEND")\n'
      "def seen(): return backend"
    )
    source = """
      import os, keras_remote, early
      seen = keras_remote.run(early.seen)
      print(seen(), keras_remote.attach().spec.environment.imports)
      print(seen.options(env={"KERAS_BACKEND": "torch"})())
      os.environ["KERAS_BACKEND"] = "tensorflow"
      print(seen())
    """
    shown = self.output(source, PYTHONPATH=str(early))
    self.assertEqual(shown, "jax ('early',)\ntorch\ntensorflow\n")

  def test_early_import(self) -> None:
    """What is installed is imported before the job's function is there."""
    early = self.base / "site-packages"
    early.mkdir()
    (early / "early.py").write_text(
      'import os\nsooner = "KERAS_REMOTE_JOB" not in os.environ\n'
      "def seen(): return sooner"
    )
    source = """
      import keras_remote, early
      print(keras_remote.run(early.seen)())
    """
    self.assertEqual(self.output(source, PYTHONPATH=str(early)), "True\n")

  def test_signals(self) -> None:
    """What the script blocks or ignores its jobs heed all the same."""
    shown = self.output("""
      import os, signal, sys
      import keras_remote
      from keras_remote.core.command import submit_command

      signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
      dies = keras_remote.run(lambda: os._exit(3)).submit()
      print(dies.exception(timeout=30).exit_code)
      signal.pthread_sigmask(signal.SIG_SETMASK, ())
      signal.signal(signal.SIGCHLD, signal.SIG_IGN)
      fails = (sys.executable, "-c", "import sys; sys.exit(5)")
      print(submit_command(fails, {}).exception(timeout=30).exit_code)
    """)
    self.assertEqual(shown, "3\n5\n")

  def test_closed_streams(self) -> None:
    """A daemon without standard streams sees its job's end, as all do."""
    self.write(
      "main.py",
      """
      import time, keras_remote

      def work():
        time.sleep(0.5)
        return "whole"

      with open("value", "w") as file:
        file.write(keras_remote.run(work).submit().result())
      """,
    )
    subprocess.run(
      ["sh", "-c", f"exec {sys.executable} main.py <&- >&- 2>&-"],
      cwd=self.project,
      env=self.environ({}),
      timeout=60,
    )
    self.assertEqual((self.project / "value").read_text(), "whole")

  def test_loaded_keras(self) -> None:
    """The backend of a keras that is loaded counts more than the variable."""
    shown = self.output(
      """
      import os, keras, keras_remote
      os.environ["KERAS_BACKEND"] = "torch"

      @keras_remote.run
      def backend():
        return os.environ["KERAS_BACKEND"]

      print(backend())
      """,
      KERAS_BACKEND="jax",
    )
    self.assertEqual(shown, "jax\n")

  def test_nothing_unused(self) -> None:
    """A job that uses neither jax nor numpy imports neither."""
    shown = self.output(
      """
      import sys, keras_remote
      import jax, numpy

      @keras_remote.run(accelerator="v5e-8")
      def loaded():
        heavy = {"jax", "jaxlib", "keras", "numpy", "psutil", "rich", "click"}
        return sorted(heavy & set(sys.modules))

      print(loaded())
      """
    )
    self.assertEqual(shown, "[]\n")


class OptionsTest(ProjectTest):
  def test_current_job(self) -> None:
    """current_job() says which job this is, to child processes too."""
    shown = self.output("""
      import subprocess, sys, keras_remote

      @keras_remote.run
      def who():
        job = keras_remote.current_job()
        child = subprocess.run(
          [sys.executable, "-c", "import keras_remote as k;"
           "print(k.current_job().id)"],
          capture_output=True, text=True)
        return job.id, child.stdout.strip(), job.attempt, job.host, job.hosts

      job = who.submit()
      mine, childs, *rest = job.result()
      print(mine == job.id, childs == job.id, rest)
      print(keras_remote.current_job())
    """)
    self.assertEqual(shown, "True True [1, 0, 1]\nNone\n")

  def test_files(self) -> None:
    """What is left in the output folder can be listed and copied out."""
    shown = self.output("""
      import os, pathlib, keras_remote

      @keras_remote.run
      def leave():
        out = pathlib.Path(os.environ["KERAS_REMOTE_OUTPUT_DIR"])
        (out / "run").mkdir()
        (out / "run" / "weights.bin").write_bytes(bytes(300))
        there = keras_remote.current_job().output_dir
        (there / "notes.txt").write_text("well")

      job = leave.submit()
      job.result()
      files = keras_remote.attach(job.id).files()
      print([(file.path, file.size) for file in files])
      print(files[0].read_bytes())
      files.copy_to("copies")
      print(os.path.getsize("copies/run/weights.bin"))
    """)
    self.assertEqual(
      shown, "[('notes.txt', 4), ('run/weights.bin', 300)]\nb'well'\n300\n"
    )

  def test_environment(self) -> None:
    """Values reach the job by env= and patterns, and are stored nowhere."""
    secrets = {"HF_TOKEN": "hf-9f2c81", "WANDB_KEY": "wandb-77ab"}
    # In two parts, so that the script itself does not hold it.
    source = """
      import hashlib, os, keras_remote

      @keras_remote.run(
        capture_env_vars=["HF_TOKEN", "WANDB_*"],
        env={"MODE": "-".join(["mode", "5d1e"])},
      )
      def look(names):
        values = [os.environ[name].encode() for name in names]
        with open(f"/proc/{os.getppid()}/cmdline", "rb") as first:
          shown = first.read()
        with open("/proc/self/cmdline", "rb") as own:
          shown += own.read()
        digests = [hashlib.md5(value).hexdigest() for value in values]
        return digests, any(value in shown for value in values)

      digests, shown = look(["HF_TOKEN", "WANDB_KEY", "MODE"])
      print(*digests, shown)
      print(keras_remote.attach().spec.environment.variables)
    """
    values = [value.encode() for value in (*secrets.values(), "mode-5d1e")]
    digests = [hashlib.md5(value).hexdigest() for value in values]
    self.assertEqual(
      self.output(source, **secrets),
      f"{' '.join(digests)} False\n('HF_TOKEN', 'MODE', 'WANDB_KEY')\n",
    )
    self.assertNotEmpty(self.stored("spec.json"))
    for name in self.stored():
      content = (self.home / name).read_bytes()
      self.assertEmpty([v for v in values if v in content], name)

  def test_options(self) -> None:
    """.options(...) changes a copy; settings(...) overrides all for a while."""
    shown = self.output("""
      import keras_remote

      @keras_remote.run(name="first", tags=["a", "b"])
      def call():
        return 1

      changed = call.options(name="second", accelerator="v4-8")
      with keras_remote.settings(tags=["override"]):
        changed()
      call()
      for job in keras_remote.list_jobs():
        print(job.name, job.tags, job.accelerator)
    """)
    self.assertEqual(shown, "first ('a', 'b') cpu\nsecond ('override',) v4-8\n")

  def test_local(self) -> None:
    """.local() calls it here, and makes no job."""
    shown = self.output("""
      import os, keras_remote

      @keras_remote.run(accelerator="v5e-8")
      def here(x):
        return x, os.getpid(), keras_remote.current_job()

      print(here.local(5) == (5, os.getpid(), None))
    """)
    self.assertEqual(shown, "True\n")
    self.assertEmpty(self.stored())


class _HoldTest(ProjectTest):
  """With a job that goes on until `sign` exists."""

  def setUp(self) -> None:
    super().setUp()
    self.sign = self.base / "sign"
    self.write("work.py", _WORK.format(sign=str(self.sign)))


class HandleTest(_HoldTest):
  def test_handle(self) -> None:
    """A handle tells how its job stands; a wait that ends leaves it alone."""
    shown = self.output("""
      from work import hold, wait_for, let_go

      job = hold.submit(5)
      print(job.status() in ("PREPARING", "PENDING", "RUNNING"))
      wait_for("RUNNING", job)
      for wait in job.result, job.exception:
        try:
          wait(timeout=0.1)
        except TimeoutError as error:
          print(job.id in str(error), job.done(), job.status())
      let_go()
      print(job.result(timeout=20), job.exception(), job.done(), job.status())
      print(job.tail(1), list(job.logs()), job.emulated)
    """)
    self.assertEqual(
      shown,
      "True\n"
      "True False RUNNING\n"
      "True False RUNNING\n"
      "5 None True SUCCEEDED\n"
      "let go ['holding\\nlet go\\n'] False\n",
    )

  def test_exception(self) -> None:
    """exception() gives what result() raises."""
    shown = self.output("""
      import keras_remote

      class Wrong(Exception):
        pass

      @keras_remote.run
      def fail(x):
        raise Wrong(x)

      job = fail.submit(3)
      print(repr(job.exception()), job.status())
      try:
        job.result()
      except Wrong as error:
        print("raised", error.args)
    """)
    self.assertEqual(shown, "Wrong(3) FAILED\nraised (3,)\n")

  def test_follow_logs(self) -> None:
    """logs(follow=True) gives lines while the job runs, and then the rest."""
    # The job ends only after its first line was read.
    shown = self.output("""
      from work import hold, let_go

      pieces = []
      for piece in hold.submit().logs(follow=True):
        pieces.append(piece)
        if "".join(pieces) == "holding\\n":
          let_go()
      print("".join(pieces).split())
    """)
    self.assertEqual(shown, "['holding', 'let', 'go']\n")

  def test_futures(self) -> None:
    """Jobs are futures: as_completed gives them in the order they end."""
    shown = self.output("""
      import concurrent.futures, keras_remote
      from work import hold, let_go

      @keras_remote.run
      def fail():
        raise ValueError("no")

      slow = hold.submit("slow").future()
      quick = fail.submit().future()
      for future in concurrent.futures.as_completed([slow, quick], 30):
        print(future is quick, future.exception())
        let_go()
      print(slow.result())
    """)
    self.assertEqual(shown, "True no\nFalse None\nslow\n")

  def test_cancel_future(self) -> None:
    """Cancelling the future of a job that runs cancels the job."""
    shown = self.output("""
      from work import hold, wait_for

      job = hold.submit()
      wait_for("RUNNING", job)
      print(job.future().cancel())
      wait_for("CANCELLED", job)
      print(type(job.exception()).__name__)
    """)
    self.assertEqual(shown, "True\nJobCancelledError\n")

  def test_await(self) -> None:
    """Handles can be awaited, and gathered, while other tasks go on."""
    shown = self.output("""
      import asyncio, keras_remote
      from work import hold, let_go

      async def main():
        async def later():
          await asyncio.sleep(0.01)
          let_go()
          return "awaited"
        job = hold.submit(1)
        print(await asyncio.gather(job, later()))
        print(await hold.submit(2))

      asyncio.run(main())
    """)
    self.assertEqual(shown, "[1, 'awaited']\n2\n")

  def test_list(self) -> None:
    """list_jobs gives the newest first, with tags, states and a limit."""
    self.sign.touch()
    shown = self.output("""
      import keras_remote
      from work import hold

      jobs = []
      for name, tag in ("a", "x"), ("b", "y"), ("c", "x"):
        jobs.append(hold.options(name=name, tags=[tag]).submit())
        jobs[-1].result()
      listed = keras_remote.list_jobs()
      print([job.id for job in listed] == [job.id for job in jobs[::-1]])
      print([(job.name, job.tags, job.state) for job in listed][0])
      print([job.name for job in keras_remote.list_jobs(tag="x")])
      print([job.name for job in keras_remote.list_jobs(limit=2)])
    """)
    self.assertEqual(
      shown,
      "True\n"
      "('c', ('x',), <State.SUCCEEDED: 'SUCCEEDED'>)\n"
      "['c', 'a']\n"
      "['c', 'b']\n",
    )

  def test_many_at_once(self) -> None:
    """Twenty jobs at once each give their own value."""
    shown = self.output("""
      import keras_remote

      @keras_remote.run
      def square(x):
        print(x)
        return x * x

      jobs = [square.submit(x) for x in range(20)]
      print([job.result() for job in jobs] == [x * x for x in range(20)])
      print([job.tail() for job in jobs] == [str(x) for x in range(20)])
      print(len({job.id for job in jobs}), len(keras_remote.list_jobs()))
    """)
    self.assertEqual(shown, "True\nTrue\n20 20\n")


class AttachTest(_HoldTest):
  def _ended(self) -> None:
    while not self.stored("outcome.json"):
      time.sleep(0.01)

  def test_client_killed(self) -> None:
    """A job whose client was killed goes on, for whoever attaches to it."""
    with self.start_script("""
      from work import hold
      import time

      job = hold.submit("whole")
      while job.tail() != "holding":
        time.sleep(0.01)
      print(job.id, flush=True)
      time.sleep(100)
    """) as client:
      assert client.stdout
      job_id = client.stdout.readline().decode().strip()
      client.kill()
    look = f"""
      import keras_remote
      job = keras_remote.attach({job_id[-6:]!r})
      print(job.id, job.status(), job.tail())
    """
    self.assertEqual(self.output(look), f"{job_id} RUNNING holding\n")
    self.sign.touch()
    self._ended()
    # Twice: the second look finds what the first has left.
    for _ in range(2):
      shown = self.output(look + "\n      print(job.result())")
      self.assertEqual(shown, f"{job_id} SUCCEEDED holding\nlet go\nwhole\n")

  def test_exit_after_submit(self) -> None:
    """A script may end right after submit(): the job is sent, and runs."""
    shown = self.output("""
      from work import hold
      print(hold.submit(8).id)
    """)
    self.sign.touch()
    value = self.output("""
      import keras_remote
      job = keras_remote.attach()
      print(job.id, job.result())
    """)
    self.assertEqual(value, f"{shown.strip()} 8\n")

  def test_attach_while_running(self) -> None:
    """attach(...).result() in another process waits for the job's end."""
    self.output("from work import hold\nhold.submit('value')")
    with self.start_script("""
      import keras_remote
      print(keras_remote.attach("hold").status(), flush=True)
      print(keras_remote.attach("hold").result())
    """) as client:
      assert client.stdout
      self.assertIn(client.stdout.readline(), (b"PENDING\n", b"RUNNING\n"))
      self.sign.touch()
      self.assertEqual(client.stdout.read(), b"value\n")


class AcceleratorsTest(ProjectTest, parameterized.TestCase):
  @parameterized.named_parameters(("v5e", "v5e-8", 8), ("v4", "v4-8", 4))
  def test_one_host(self, name: str, devices: int) -> None:
    """JAX sees exactly the accelerator's chips."""
    shown = self.output(f"""
      import keras_remote

      @keras_remote.run(accelerator={name!r})
      def look():
        import jax
        here = jax.local_device_count(), jax.process_count()
        return len(jax.devices()), *here, jax.default_backend()

      job = look.submit()
      print(job.result(), job.emulated)
    """)
    self.assertEqual(shown, f"({devices}, {devices}, 1, 'cpu') True\n")

  def test_many_hosts(self) -> None:
    """A slice of several hosts is one JAX group, and host 0 gives the value."""
    self.write(
      "group.py",
      """
      import json
      import keras_remote

      @keras_remote.run(accelerator="v5e-16")
      def total():
        import jax
        import numpy as np
        from jax.sharding import PartitionSpec as P

        job = keras_remote.current_job()
        print("here", job.host)
        (job.output_dir / "seen").write_text(str(job.host))
        mesh = jax.make_mesh((16,), ("chips",))
        mine = np.arange(4.0) + 4 * jax.process_index()
        each = jax.make_array_from_process_local_data(
          jax.NamedSharding(mesh, P("chips")), mine)
        add = jax.shard_map(
          lambda x: jax.lax.psum(x, "chips"),
          mesh=mesh, in_specs=P("chips"), out_specs=P())
        return {
          "sum": float(jax.jit(add)(each)[0]),
          "process": jax.process_index(),
          "host": job.host,
          "hosts": job.hosts,
          "processes": jax.process_count(),
          "local": jax.local_device_count(),
          "devices": jax.device_count(),
        }
      """,
    )
    shown = self.output("""
      import json
      from group import total

      job = total.submit()
      print(json.dumps(job.result()))
      print(json.dumps([job.tail(99, host) for host in range(4)]))
      print(json.dumps([file.path for file in job.files()]))
    """)
    value, tails, files = map(json.loads, shown.splitlines())
    self.assertEqual(
      value,
      {
        "sum": 120.0,
        "process": 0,
        "host": 0,
        "hosts": 4,
        "processes": 4,
        "local": 4,
        "devices": 16,
      },
    )
    for host, tail in enumerate(tails):
      self.assertStartsWith(tail, f"here {host}\n")
    self.assertEqual(
      files, ["host-1/seen", "host-2/seen", "host-3/seen", "seen"]
    )


if __name__ == "__main__":
  absltest.main()
