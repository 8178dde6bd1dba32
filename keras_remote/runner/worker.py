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
from typing import Any


def main() -> None:
  """Takes two orders from the first process, and answers how it went."""
  runner, orders_fd, answers_fd = sys.argv[1:]
  sys.argv[1:] = []
  faulthandler.enable()
  for fd in (orders_fd, answers_fd):
    # What the function starts must not hold them open.
    os.set_inheritable(int(fd), False)
  orders = _listen(int(orders_fd))
  from keras_remote.runner import calling, devices, forked

  prepare = orders.get()
  os.environ.update(prepare["environ"])
  for module in prepare["imports"]:
    # Whatever is wrong with it shows where the function needs it.
    with contextlib.suppress(BaseException):
      importlib.import_module(module)
  order = orders.get()
  answer = calling.run(order, runner)
  forked.flush()
  with open(int(answers_fd), "wb") as answers:
    answers.write(json.dumps(answer).encode() + b"\n")
  if order["coordinator"]:
    # Until all have returned, or this host is to end for another reason.
    if orders.get()["together"]:
      devices.leave_group()
    forked.flush()
    os._exit(0)


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
