"""Calls that start no job of their own: below `local`, and in event loops."""

from absl.testing import absltest

from tests.integration.harness import ProjectTest

_NESTED = """
import os
import keras_remote

@keras_remote.run
def step():
  return os.getpid()

@keras_remote.run
async def later():
  return os.getpid()

@keras_remote.run
def train():
  return {os.getpid(), step(), later()}

@keras_remote.run
async def train_later():
  return {os.getpid(), step(), await later()}
"""
_ASYNC = """
import asyncio
import keras_remote

@keras_remote.run
async def double(x):
  await asyncio.sleep(0)
  return 2 * x

@keras_remote.run
async def outer(x):
  return await double(x)
"""


class LocalTest(ProjectTest):
  def test_what_it_calls_is_called_here_too(self) -> None:
    """A debugger sees all of it, and nothing is sent anywhere."""
    shown = self.output(
      _NESTED
      + """
import asyncio

async def here():
  return await train_later.local()

print(train.local() == train_later.local() == {os.getpid()})
print(asyncio.run(here()) == {os.getpid()})
"""
    )
    self.assertEqual(shown, "True\nTrue\n")
    self.assertEmpty(self.stored("spec.json"))

  def test_what_comes_after_is_sent(self) -> None:
    """It is over with the call, also where that raises."""
    shown = self.output(
      _NESTED
      + """
import asyncio

def fail():
  raise ValueError

async def fail_later():
  await asyncio.sleep(0)
  raise ValueError

for failing in (fail, fail_later):
  try:
    keras_remote.run(failing).local()
  except ValueError:
    print(step() == os.getpid())
"""
    )
    self.assertEqual(shown, "False\nFalse\n")


class AsyncTest(ProjectTest):
  def test_without_an_event_loop(self) -> None:
    """A call gives the value: there, here, and from within a job."""
    shown = self.output(
      _ASYNC
      + """
print(double(1), outer(2), double.local(3), outer.local(4))
print(keras_remote.run(lambda: double(5))())
"""
    )
    self.assertEqual(shown, "2 4 6 8\n10\n")

  def test_with_an_event_loop(self) -> None:
    """A call is awaited, as without the decorator, and the loop goes on."""
    shown = self.output(
      _ASYNC
      + """
async def tick(ticks):
  while True:
    ticks.append(1)
    await asyncio.sleep(0.01)

async def main():
  ticks = []
  ticking = asyncio.create_task(tick(ticks))
  print(await asyncio.gather(double(1), outer(2)), await double.local(3))
  ticking.cancel()
  print(len(ticks) > 3)

asyncio.run(main())
"""
    )
    self.assertEqual(shown, "[2, 4] 6\nTrue\n")

  def test_giving_up(self) -> None:
    """A task that is cancelled cancels its job, as Ctrl-C does."""
    shown = self.output("""
      import asyncio
      import keras_remote

      @keras_remote.run
      async def wait():
        await asyncio.sleep(60)

      async def main():
        try:
          async with asyncio.timeout(3):
            await wait()
        except TimeoutError:
          print(keras_remote.attach().status())

      asyncio.run(main())
    """)
    self.assertEqual(shown, "CANCELLED\n")


if __name__ == "__main__":
  absltest.main()
