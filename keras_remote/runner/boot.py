"""The first statements of a first process."""

import os
import sys

from keras_remote.runner import signals


def boot() -> int:
  """Runs this host's part of a job; the process's exit code.

  Process 1 of a container ignores SIGTERM until it has a handler: so that
  comes before everything that takes time, imports included.
  """
  signals.install()
  try:
    signals.forget_inherited()
    from keras_remote.job.launch import (
      RECIPE_VARIABLE,
      Launch,
      worker_environ,
    )
    from keras_remote.runner import process, scratch

    runner, environ = os.path.abspath(sys.argv[0]), worker_environ(os.environ)
    # Both processes start side by side: the worker before anything else.
    if os.environ.get(RECIPE_VARIABLE):
      launch = Launch.from_environ(os.environ)
      place = str(scratch.environment(launch.scratch))
      what = (launch.recipe, launch.store, place)
      worker = process.Worker(runner, environ, process.INSTALLER, what)
    else:
      worker = process.Worker(runner, environ)
    from keras_remote.runner import remote_runner

    return remote_runner.main(worker)
  except signals.Stopped:
    return signals.STOPPED_EXIT
