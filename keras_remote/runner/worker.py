"""The second process: sets up what the function needs, and calls it."""

import contextlib
import faulthandler
import importlib
import json
import os
import queue
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from keras_remote.runner import sampling


def main() -> None:
  """Takes two orders from the first process, and answers how it went."""
  runner, orders_fd, answers_fd = sys.argv[1:]
  sys.argv[1:] = []
  faulthandler.enable()
  for fd in (orders_fd, answers_fd):
    # What the function starts must not hold them open.
    os.set_inheritable(int(fd), False)
  answers = _Answers(int(answers_fd))
  orders = _listen(int(orders_fd))
  from keras_remote.runner import calling, devices, forked

  prepare = orders.get()
  os.environ.update(prepare["environ"])
  sampler = _sample(prepare) if prepare["doing"] else None
  for module in prepare["imports"]:
    # Whatever is wrong with it shows where the function needs it.
    with contextlib.suppress(BaseException):
      importlib.import_module(module)
  order = orders.get()
  answer = calling.run(order, runner)
  if sampler:
    sampler.returned()
  heard = answers.give(answer, order["answer"])
  # Whatever the function has done to its streams, it has been answered.
  forked.flush()
  # A command's processes are a group of their own, if they are one.
  if order["coordinator"] and not order["argv"]:
    # Until all have returned, or this host is to end for another reason.
    if heard and orders.get()["together"]:
      devices.leave_group()
      return
    # In order it would wait for hosts that do not leave.
    forked.flush()
    os._exit(0)


def _sample(prepare: dict[str, Any]) -> "sampling.Sampling":
  from keras_remote.runner import sampling, stacks

  stacks.register()
  return sampling.Sampling(prepare["doing"], prepare["roots"])


class _Answers:
  """The pipe to the first process, unless the function closes it.

  Its descriptor may then be a file of the user's.
  """

  def __init__(self, fd: int) -> None:
    self._fd = fd
    self._pipe = self._identity()

  def give(self, answer: dict[str, Any], path: str) -> bool:
    """Whether the first process hears it now; else it reads it in the file."""
    line = json.dumps(answer).encode() + b"\n"
    ours = self._identity() == self._pipe
    fd = self._fd if ours else os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    view = memoryview(line)
    while view:  # A signal may cut a long write short.
      view = view[os.write(fd, view) :]
    os.close(fd)
    return ours

  def _identity(self) -> tuple[int, int] | None:
    try:
      status = os.fstat(self._fd)
    except OSError:
      return None
    return status.st_dev, status.st_ino


def _listen(fd: int) -> "queue.SimpleQueue[dict[str, Any]]":
  orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

  def read() -> None:
    with open(fd, "rb") as lines:
      for line in lines:
        orders.put(json.loads(line))
    # The first process is gone, and with it whoever could end this one.
    os.killpg(0, signal.SIGKILL)

  threading.Thread(target=read, name="orders", daemon=True).start()
  return orders
