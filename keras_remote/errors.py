"""Every error that keras_remote raises of its own.

A message says what happened, why, and what to type next.
"""


class KerasRemoteError(Exception):
  """The root of the tree: `except KerasRemoteError` catches all of ours."""


class ConfigError(KerasRemoteError):
  """A setting is unknown, malformed or missing."""


class AcceleratorError(KerasRemoteError, ValueError):
  """No accelerator has this name, or this size."""


class PackagingError(KerasRemoteError):
  """The function, its arguments or the project cannot be packed."""


class StoreError(KerasRemoteError):
  """A store cannot be reached, read or written."""


class ObjectNotFoundError(StoreError):
  """The store holds nothing under this key."""


class BucketNotFoundError(StoreError):
  """There is no bucket of this name."""


class JobNotFoundError(KerasRemoteError, LookupError):
  """No job, or more than one, goes by this id."""


class CredentialsError(KerasRemoteError):
  """Nobody is logged in, or who is may not do this."""


class StoreAccessError(StoreError, CredentialsError):
  """The store refuses whoever is logged in, or nobody is."""


class ClusterError(KerasRemoteError):
  """A Kubernetes cluster cannot be reached, or refuses.

  Attributes:
    status: of its answer, as in HTTP; None where none came.
    reason: in its own word; may be empty.
  """

  def __init__(
    self, message: str, *, status: int | None = None, reason: str = ""
  ) -> None:
    super().__init__(message)
    self.status = status
    self.reason = reason


class ClusterAccessError(ClusterError, CredentialsError):
  """The cluster does not let whoever is logged in do this."""


class InfraError(KerasRemoteError):
  """What a cluster needs could not be made, changed or removed."""


class ImageBuildError(KerasRemoteError):
  """The container image could not be built."""


class ImageAccessError(ImageBuildError, CredentialsError):
  """Whoever is logged in may not build images, or nobody is."""


class SubmitError(KerasRemoteError):
  """The backend did not take the job."""


class StartupError(KerasRemoteError):
  """The hosts of a group did not find each other."""


class IntegrityError(KerasRemoteError):
  """What was read is not what was written: nothing of it was used."""


class JobError(KerasRemoteError):
  """A job did not end well; `job_id` says which."""

  def __init__(self, message: str, *, job_id: str = "") -> None:
    super().__init__(message)
    self.job_id = job_id


class RemoteError(JobError):
  """The user's exception, where it cannot be raised here as itself.

  Attributes:
    type_name: qualified name of the exception's class there.
    traceback: the remote traceback as text.
    exit_code: for `sys.exit` and for a command, the exit code; else None.
  """

  def __init__(
    self,
    message: str,
    *,
    job_id: str = "",
    type_name: str = "",
    traceback: str = "",
    exit_code: int | None = None,
  ) -> None:
    super().__init__(message, job_id=job_id)
    self.type_name = type_name
    self.traceback = traceback
    self.exit_code = exit_code


class WorkerDiedError(JobError):
  """The process that ran the function ended without an answer.

  Attributes:
    exit_code: its exit code, or None where a signal ended it.
    signal: the signal's number, or None.
  """

  def __init__(
    self,
    message: str,
    *,
    job_id: str = "",
    exit_code: int | None = None,
    signal: int | None = None,
  ) -> None:
    super().__init__(message, job_id=job_id)
    self.exit_code = exit_code
    self.signal = signal


class JobTimeoutError(JobError, TimeoutError):
  """The job ran for longer than its `timeout`."""


class JobCancelledError(JobError):
  """Somebody cancelled the job."""


class JobLostError(JobError):
  """The processes of the job are gone and none of them said why."""
