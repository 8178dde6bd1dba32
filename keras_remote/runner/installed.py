"""The first process of a job whose environment is installed at its start."""

import contextlib
import os
import queue
import site
from collections.abc import Callable

from keras_remote import errors
from keras_remote.job.launch import Launch
from keras_remote.runner import kept, process, scratch, signals
from keras_remote.runner.closing import DRAIN
from keras_remote.runner.events import ChildEnded, Event
from keras_remote.runner.host import Host
from keras_remote.runner.installing import Told, read_recipe


class Installed:
  """An environment that is there, or says why it is not.

  Its packages can be imported by this process, too.

  Args:
    worker: which installs, and becomes the worker then.

  Raises:
    ImageBuildError: not even the store can be reached.
  """

  def __init__(
    self,
    launch: Launch,
    worker: process.Worker,
    events: "queue.SimpleQueue[Event]",
  ) -> None:
    self._launch = launch
    self._told = _told(worker, events)
    if not self._told.site:
      raise errors.ImageBuildError(self._told.failed)
    site.addsitedir(self._told.site)

  def run(self, host: Host, note: Callable[[str], None]) -> int:
    """Takes the job to its end, and leaves what is here to the next one.

    Raises:
      StoreError: the ending could not be stored.
    """
    told, keeping = self._told, None
    if told.failed:
      return host.run(errors.ImageBuildError(told.failed))
    if told.fresh:
      try:
        keeping = kept.Keeping(
          self._launch.store,
          read_recipe(self._launch.recipe),
          scratch.environment(self._launch.scratch),
          anew=told.spoiled,
          worth=told.seconds,
          note=note,
        )
      except errors.StoreError as error:
        note(f"the environment is not kept for the next job: {error}")
    code = host.run()
    if keeping and code != signals.STOPPED_EXIT:
      finished = keeping.finish()
      if not finished and not self._launch.stays:
        # An exit in good order would wait for the store's threads.
        os._exit(code)
    return code


def _told(worker: process.Worker, events: "queue.SimpleQueue[Event]") -> Told:
  """What who installs says, which is asked for once it has."""
  event = events.get()
  while not isinstance(event, dict):
    if worker.poll() is not None:
      # Its last words may come a moment later than its end.
      with contextlib.suppress(queue.Empty):
        while not isinstance(event := events.get(timeout=DRAIN), dict):
          pass
        break
      return Told(
        "", "what installs its environment was killed, or failed: see its log"
      )
    event = events.get()
  events.put(ChildEnded())  # That may have been told of here.
  return Told(**event)
