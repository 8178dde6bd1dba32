"""Runs a Python function on somebody else's accelerators.

import keras_remote

@keras_remote.run(accelerator="v5e-8")
def train(lr): ...

loss = train(1e-3)
"""

from typing import TYPE_CHECKING, Any

from keras_remote.constants import VERSION as __version__

if TYPE_CHECKING:
  from keras_remote.core.core import RemoteFunction, run
  from keras_remote.core.explain import Explanation
  from keras_remote.core.handle import JobFile, JobFiles, JobHandle
  from keras_remote.core.jobs import JobSummary, attach, list_jobs, prune
  from keras_remote.core.settings import settings
  from keras_remote.errors import (
    AcceleratorError,
    ClusterError,
    ConfigError,
    CredentialsError,
    ImageBuildError,
    IntegrityError,
    JobCancelledError,
    JobError,
    JobLostError,
    JobNotFoundError,
    JobTimeoutError,
    KerasRemoteError,
    PackagingError,
    RemoteError,
    StartupError,
    StoreError,
    SubmitError,
    WorkerDiedError,
  )
  from keras_remote.inside.current import CurrentJob, current_job
  from keras_remote.job.state import State

_ROOMS = {
  "core.core": ("RemoteFunction", "run"),
  "core.explain": ("Explanation",),
  "core.handle": ("JobFile", "JobFiles", "JobHandle"),
  "core.jobs": ("JobSummary", "attach", "list_jobs", "prune"),
  "core.settings": ("settings",),
  "errors": (
    "AcceleratorError",
    "ClusterError",
    "ConfigError",
    "CredentialsError",
    "ImageBuildError",
    "IntegrityError",
    "JobCancelledError",
    "JobError",
    "JobLostError",
    "JobNotFoundError",
    "JobTimeoutError",
    "KerasRemoteError",
    "PackagingError",
    "RemoteError",
    "StartupError",
    "StoreError",
    "SubmitError",
    "WorkerDiedError",
  ),
  "inside.current": ("CurrentJob", "current_job"),
  "job.state": ("State",),
}
_HOMES = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604


if not TYPE_CHECKING:  # With it a checker would take any name.

  def __getattr__(name: str) -> Any:
    if name not in _HOMES:
      raise AttributeError(f"module 'keras_remote' has no attribute '{name}'")
    import importlib

    # A module of ours is imported when something of it is first used.
    value = getattr(
      importlib.import_module(f"keras_remote.{_HOMES[name]}"), name
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
  return sorted(__all__)
