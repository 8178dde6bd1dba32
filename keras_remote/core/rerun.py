"""The same call again: as a new job, or in this process.

A job's directory holds all that this needs but the values of variables, which
are never stored.
"""

import contextlib
import dataclasses
import linecache
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from keras_remote import clock, errors
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.backend.registry import choose_again
from keras_remote.core import context, environment, execution, group, image
from keras_remote.core.console import Console
from keras_remote.core.job import Job
from keras_remote.core.options import Options
from keras_remote.core.places import backend_for, backend_of
from keras_remote.core.settings import resolve
from keras_remote.home import Home, ensure, home
from keras_remote.inside import current
from keras_remote.job import fetch, ids, surroundings
from keras_remote.job.directory import JobDirectory
from keras_remote.job.outcome import signal_name
from keras_remote.job.spec import EntryKind, JobSpec, Target
from keras_remote.packaging import provenance, runner_archive
from keras_remote.storage.open import open_store

# What travels is what was sent before, from where it is kept.
FIXED = ("store", "working_dir")
# The accelerators of which a call says how many hosts have them.
GANGS = {"cpu", "gpu"}


def rerun(job: Job, changed: Mapping[str, object]) -> Job:
  """A new job of the same payload and context, with some options changed.

  Raises:
    ConfigError: an option is unknown, malformed or cannot change, or a
      variable of the job is not set here.
    IntegrityError: the job's spec is not signed with this user's key.
    StoreError: the project that the job ran in is no longer kept.
  """
  store = job.directory.store
  for name in FIXED:
    if name in changed:
      raise errors.ConfigError(
        f"rerun: {name} cannot change: a job runs again with what was sent"
      )
  old = job.directory.spec(key=job.key())
  _check_python(old)
  options = resolve({**as_before(old, changed), **changed}).options
  if "backend" not in changed and options.backend == old.target.backend:
    again = choose_again(
      old.target.backend, old.resources.hosts, group.hosts(options)
    )
    options = dataclasses.replace(options, backend=again)
  accelerator = group.accelerator_of(options)
  group.check_entry(options, old.entry.kind)
  place = Home(home())
  backend = backend_for(options, place, like=old)
  group.check_backend(options, backend, named=True)
  limits = group.limits(options, backend)
  variables = _variables(old, options)
  backend.check_call(store.uri, variables)
  framework = variables.get("KERAS_BACKEND", old.environment.keras_backend)
  group.check_framework(options, framework)
  wanted = None
  if backend.contains:
    wanted = image.plan_again(
      old, changed, options, accelerator, framework, variables
    )
  chosen = image.again(
    old,
    wanted,
    contains=backend.contains,
    builder=image.builder_for(
      backend, place, store.uri, options.build_service_account
    ),
    report=Console().report,
  )
  now = clock.now()
  job_id = ids.new_job_id(options.name or old.origin.name, now)
  spec = dataclasses.replace(
    old,
    origin=dataclasses.replace(
      old.origin,
      job_id=job_id,
      name=options.name or old.origin.name,
      tags=options.tags,
      parent=old.job_id,
      who=provenance.who(),
      submitted=now.isoformat(timespec="milliseconds"),
    ),
    environment=dataclasses.replace(
      old.environment,
      keras_backend=framework,
      variables=tuple(sorted(variables)),
      distribution=options.distribution or "",
    ),
    resources=context.resources(accelerator, backend, options),
    limits=limits,
    target=Target(backend.name, store.uri, backend.place),
    image=image.sourced(chosen, variables, backend),
  )
  runner = runner_archive.runner_archive(ensure(place.cache))
  payload = job.directory.open_payload() if old.payload else None
  with execution.preparing(place, job_id):
    execution.submit_spec(
      place, backend, store, spec, payload, None, runner.path, variables
    )
  return Job(spec, JobDirectory(store, job_id), backend)


def as_before(
  spec: JobSpec, changed: Mapping[str, object]
) -> dict[str, object]:
  """The options of a job; of those that depend on its accelerator what is left.

  Args:
    changed: the options that are to be others.
  """
  old = parse_accelerator(spec.resources.accelerator)
  wanted = changed.get("accelerator", str(old))
  new = parse_accelerator(wanted if isinstance(wanted, str) else None)
  slices, machines = spec.resources.slices, spec.resources.hosts
  preemptions = spec.limits.max_preemptions
  own = preemptions != group.default_preemptions(old)
  return {
    # A slice says itself how many hosts it has.
    "hosts": machines if {old.category, new.category} <= GANGS else None,
    "slices": slices if new.category == "tpu" else None,
    "retries": spec.limits.retries,
    "max_preemptions": preemptions if own else None,
    "startup_timeout": spec.limits.startup_timeout,
    "distribution": spec.environment.distribution or None,
    "accelerator": spec.resources.accelerator,
    "backend": spec.target.backend,
    "name": spec.origin.name,
    "tags": spec.origin.tags,
    "timeout": spec.limits.timeout,
    "pending_timeout": spec.limits.pending_timeout,
    "store": spec.target.store,
    **{name: getattr(spec.resources, name) for name in context.ASKED},
  }


def _variables(spec: JobSpec, options: Options) -> dict[str, str]:
  """The values that the job gets; those of before must be given again."""
  captured = environment.captured(options.capture_env_vars, os.environ)
  given = {**captured, **options.env}
  for name in spec.environment.variables:
    if name not in given:
      given |= {name: _value_here(spec, name)}
  return given


def _value_here(spec: JobSpec, name: str) -> str:
  if name not in os.environ:
    raise errors.ConfigError(
      f"{spec.job_id} was given the variable {name}, and values are never "
      f"stored: `export {name}=…`, or give it by env"
    )
  return os.environ[name]


def _check_python(spec: JobSpec) -> None:
  here = provenance.versions()["python"]
  minor = here.split(".")[:2]
  if spec.payload and spec.environment.python.split(".")[:2] != minor:
    raise errors.ConfigError(
      f"{spec.job_id} was pickled by Python {spec.environment.python}, which "
      f"{here} cannot be trusted to read: use the same one, or call anew"
    )


def rerun_local(spec: JobSpec, *, debug: bool = False) -> Any:
  """What the job's function returns when this process calls it.

  It finds the project, the current directory, the variables and the devices
  of one host as in the job; what it prints comes as it does here.

  Args:
    debug: where it raises, open the debugger there first.

  Raises:
    BaseException: what the function raises.
    RemoteError, WorkerDiedError: the command failed.
    ConfigError: a variable of the job is not set here.
    IntegrityError: the spec is not signed with this user's key, or payload
      or context is not what it names; nothing of it was used.
  """
  backend = backend_of(spec, Home(home()))
  directory = JobDirectory(open_store(spec.target.store), spec.job_id)
  spec = directory.spec(key=Job(spec, directory, backend).key())
  _check_python(spec)
  with tempfile.TemporaryDirectory(prefix="keras-remote-") as folder:
    root = Path(folder).resolve()
    project = root / "context"
    project.mkdir()
    fetch.fetch_context(directory, spec, project)
    with _as_in_job(spec, project, root / "output"):
      if spec.entry.kind is EntryKind.COMMAND:
        return _run(spec, project)
      try:
        return _call(directory, spec, root / "payload.pkl")
      except (Exception, SystemExit) as error:
        _keep_sources(error)
        if debug:
          _debug(error)
        raise


@contextlib.contextmanager
def _as_in_job(spec: JobSpec, project: Path, output: Path) -> Generator[None]:
  """This process as a job's worker, until the block ends."""
  environ, path, cwd = dict(os.environ), list(sys.path), os.getcwd()
  output.mkdir()
  values = {n: _value_here(spec, n) for n in spec.environment.variables}
  devices = surroundings.device_environ(spec, environ)
  here = current.CurrentJob(spec.job_id, 1, 0, 1, output)
  try:
    os.environ.update({**values, **devices, **current.environ(here)})
    os.chdir(project / spec.environment.cwd)
    sys.path[:0] = [str(project / p) for p in spec.environment.sys_path]
    yield
  finally:
    os.chdir(cwd)
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environ)


def _call(directory: JobDirectory, spec: JobSpec, path: Path) -> Any:
  from keras_remote.pickling import payload

  fetch.fetch_payload(directory, spec, path)
  with path.open("rb") as stream:
    return payload.load(stream).call()


def _run(spec: JobSpec, project: Path) -> None:
  paths = [str(project / entry) for entry in spec.environment.sys_path]
  environ = surroundings.command_environ(paths, os.environ)
  name = spec.entry.argv[0]
  try:
    code = subprocess.call(
      spec.entry.argv, env=environ, stdout=sys.stdout, stderr=sys.stderr
    )
  except OSError as error:
    raise errors.RemoteError(f"cannot run {name}: {error.strerror}") from error
  if code > 0:
    raise errors.RemoteError(f"{name} exited with {code}", exit_code=code)
  if code < 0:
    ended = signal_name(-code)
    raise errors.WorkerDiedError(f"{name} was ended by {ended}", signal=-code)


def _keep_sources(error: BaseException) -> None:
  """Lets the traceback show its lines when the folder is gone."""
  for frame, _ in traceback.walk_tb(error.__traceback__):
    file = frame.f_code.co_filename
    lines = linecache.getlines(file)
    linecache.cache[file] = (sum(map(len, lines)), None, lines, file)


def _debug(error: BaseException) -> None:
  import pdb  # Only for those who debug.

  from keras_remote.pickling import exceptions

  kind = exceptions.type_name(type(error))
  Console().say(f"{kind}: {exceptions.message(error)}")
  pdb.post_mortem(exceptions.visible(error.__traceback__))
