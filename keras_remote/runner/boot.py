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
    from keras_remote.job.launch import worker_environ
    from keras_remote.runner.process import Worker

    # Both processes start side by side: the worker before anything else.
    worker = Worker(os.path.abspath(sys.argv[0]), worker_environ(os.environ))
    from keras_remote.runner import remote_runner

    return remote_runner.main(worker)
  except signals.Stopped:
    return signals.STOPPED_EXIT
