"""From settings to the backend of a call, or of a job that there is."""

from keras_remote.backend.base import Backend, Wanted
from keras_remote.backend.registry import choose, open_backend, same_place
from keras_remote.core import group
from keras_remote.core.options import Options
from keras_remote.core.settings import resolve
from keras_remote.home import Home
from keras_remote.job.spec import JobSpec


def backend_name(options: Options) -> str:
  """Which backend a call with these options uses.

  Raises:
    ConfigError: there is none of this name, or no accelerator with so many
      hosts.
    AcceleratorError: there is no such accelerator.
  """
  cluster = any((options.context, options.project, options.cluster))
  if options.backend is not None or not cluster:
    return choose(options.backend)
  return choose(None, cluster=True, hosts=group.hosts(options))


def backend_for(
  options: Options, home: Home, *, like: JobSpec | None = None
) -> Backend:
  """The backend of a call with these options.

  Args:
    like: a job at whose place the call runs, if it is one of this backend.

  Raises:
    ConfigError: there is none of this name, or it lacks what it needs.
  """
  name = backend_name(options)
  same = like is not None and same_place(like.target.backend, name)
  place = like.target.place if like and same else None
  return open_backend(name, home, _wanted(options), place=place)


def backend_of(spec: JobSpec, home: Home) -> Backend:
  """The backend that has the job's processes, by the settings in force.

  Raises:
    ConfigError: a newer keras_remote's, or nothing here leads to its place.
  """
  wanted = _wanted(resolve({}).options)
  target = spec.target
  return open_backend(target.backend, home, wanted, place=target.place)


def _wanted(options: Options) -> Wanted:
  return Wanted(
    context=options.context,
    namespace=options.namespace,
    queue=options.queue,
    project=options.project,
    zone=options.zone,
    cluster=options.cluster,
    service_account=options.service_account,
  )
