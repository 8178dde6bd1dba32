"""From a call to a job: packs, stores and submits it."""

import contextlib
import datetime
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import (
  Future,
  InvalidStateError,
  ThreadPoolExecutor,
  wait,
)
from pathlib import Path
from typing import BinaryIO

from keras_remote import clock, errors
from keras_remote.backend.base import Backend, Submission
from keras_remote.core import archives, environment
from keras_remote.core.context import JobContext, resources
from keras_remote.core.job import Job
from keras_remote.core.options import Options
from keras_remote.core.packing import Packed
from keras_remote.core.ready import telling
from keras_remote.core.sending import Sending, Withdrawn, is_withdrawn, withdraw
from keras_remote.home import Home, ensure, holding
from keras_remote.job import endings, environments, ids, layout, signing, wire
from keras_remote.job.directory import JobDirectory
from keras_remote.job.spec import Environment, JobSpec, Origin, Target
from keras_remote.packaging import packager, provenance, runner_archive
from keras_remote.progress import Report, Step, silent
from keras_remote.storage.store import Store

# Seconds in which most jobs are submitted, and what is wrong shows.
_PATIENCE = 1.5


def execute_remote(
  context: JobContext,
  packed: Packed,
  report: Report,
) -> tuple[str, "Future[JobSpec]"]:
  """The new job's id, and its spec once it was submitted.

  What takes longer goes on behind; the interpreter's exit waits for it.

  Raises:
    KerasRemoteError: the job could not be submitted; nothing was started.
  """
  now = clock.now()
  job_id = ids.new_job_id(context.options.name or packed.name, now)
  submitted: Future[JobSpec] = Future()

  def wanted() -> None:
    if is_withdrawn(submitted):
      raise Withdrawn

  def told(step: Step) -> None:
    if not step.warning:
      wanted()
    report(step)

  def cancel(spec: JobSpec) -> None:
    Job(spec, JobDirectory(context.store, job_id), context.backend).cancel()

  def work() -> None:
    try:
      with (
        packed.stream or contextlib.nullcontext(),
        preparing(context.home, job_id),
        telling(context),
      ):
        spec = _send(context, packed, told, wanted, job_id=job_id, at=now)
    except BaseException as error:
      # Whoever withdrew it knows of its end.
      with contextlib.suppress(InvalidStateError):
        submitted.set_exception(error)
      return
    try:
      submitted.set_result(spec)
    except InvalidStateError:  # It was withdrawn too late to be kept back.
      cancel(spec)

  try:
    Sending(target=work, name=f"submit {job_id}").start()
    done = wait([submitted], _PATIENCE).done
  except BaseException:  # Ctrl-C: nobody would know of the job.
    if not withdraw(job_id, submitted) and submitted.exception() is None:
      cancel(submitted.result())
    report(Step(f"cancelled {job_id}", warning=True))
    raise
  if done:
    submitted.result()
  else:
    submitted.add_done_callback(functools.partial(_tell, job_id, report))
  return job_id, submitted


def _tell(job_id: str, report: Report, submitted: "Future[JobSpec]") -> None:
  """Says that the job could not be sent: perhaps nobody asks for it."""
  error = submitted.exception()
  if error is not None and not is_withdrawn(submitted):
    report(Step(f"{job_id} could not be submitted: {error}", warning=True))


def _send(
  context: JobContext,
  packed: Packed,
  report: Report,
  wanted: Callable[[], object],
  *,
  job_id: str,
  at: datetime.datetime,
) -> JobSpec:
  options = context.options
  cache = ensure(context.home.cache)
  with ThreadPoolExecutor(2, f"look {job_id}") as pool:
    git = pool.submit(provenance.git_state, context.root)
    # Only the first call of a process asks the cluster for it.
    key = pool.submit(context.backend.signing_key)
    packed_tree = packager.zip_working_dir(context.root, cache, report)
    runner = runner_archive.runner_archive(cache)
  key.result()
  state = git.result()
  versions = provenance.versions()
  spec = JobSpec(
    origin=Origin(
      job_id=job_id,
      name=options.name or packed.name,
      tags=options.tags,
      parent=None,
      who=provenance.who(),
      submitted=at.isoformat(timespec="milliseconds"),
      git_commit=state.commit if state else None,
      git_dirty=state.dirty if state else False,
    ),
    entry=packed.entry,
    environment=Environment(
      python=versions["python"],
      packages={k: v for k, v in versions.items() if k != "python"},
      keras_backend=context.keras_backend,
      cwd=context.cwd.relative_to(context.root).as_posix(),
      sys_path=environment.import_roots(context.root),
      imports=_early(packed.modules, options),
      variables=tuple(sorted(context.variables)),
      root=str(context.root),
      distribution=options.distribution or "",
    ),
    resources=resources(context.accelerator, context.backend, options),
    limits=context.limits,
    target=Target(
      backend=context.backend.name,
      store=context.store.uri,
      place=context.backend.place,
    ),
    payload=packed.digest,
    context=packed_tree.digest,
    image=context.image(report),
  )
  report(Step("submitting"))
  submit_spec(
    context.home,
    context.backend,
    context.store,
    spec,
    packed.stream,
    packed_tree,
    runner.path,
    context.variables,
    report,
    wanted,
  )
  return spec


def _early(modules: Iterable[str], options: Options) -> tuple[str, ...]:
  """What the job imports before it is known where its hosts meet."""
  early = environment.early_imports(modules)
  # It is told what to do with the devices, also where no module shows it.
  return early if options.distribution is None else (*early, "keras")


def submit_spec(
  place: Home,
  backend: Backend,
  store: Store,
  spec: JobSpec,
  payload: BinaryIO | None,
  archive: packager.Context | None,
  runner: Path,
  variables: Mapping[str, str],
  report: Report = silent,
  wanted: Callable[[], object] = lambda: None,
) -> None:
  """Stores the job's directory and has the backend start it.

  Args:
    archive: the project's; None where the store has it from another job.
    wanted: raises where nobody wants the job any more; asked last of all.

  Raises:
    StoreError: the store failed; nothing of the job is left in it.
    SubmitError: the backend did not take it: its project alone stays, for
      another try. Where it cannot be asked whether it did, the job is
      cancelled, and stays in the store.
  """
  directory = JobDirectory(store, spec.job_id)
  key = signing.job_key(backend.signing_key(), spec.job_id)
  sent = False

  def send() -> None:
    nonlocal sent
    if archive is None:
      archives.keep(store, spec)
    else:
      sent = archives.send(store, archive, report)

  def keep() -> None:
    # Nobody removes what was found before it is known that this job needs it.
    with holding(place.sharing, shared=True):
      directory.create_spec(spec, key, payload=payload, beside=[send])

  def stored() -> None:
    storing.result()
    wanted()

  def take_back(error: BaseException) -> None:
    # What another job has of this id is not touched.
    if storing.exception() is None:
      try:
        backend.cleanup_job(spec)
      except errors.KerasRemoteError:
        # Who was refused has started nothing. Else it may run, and looks into
        # its directory: that says that nobody wants it.
        if not isinstance(error, errors.ClusterAccessError):
          _call_off(directory, spec, key, report)
          return
      with contextlib.suppress(errors.StoreError):
        directory.delete(spec)
    if sent and isinstance(error, errors.StoreError):
      # It may be what has filled the disk. Another job may have found it.
      with contextlib.suppress(errors.StoreError):
        archives.remove_unused(store, place)

  with (
    payload or contextlib.nullcontext(),
    ThreadPoolExecutor(1, f"store {spec.job_id}") as pool,
  ):
    storing = pool.submit(keep)
    try:
      digest = layout.digest(wire.encode(spec))
      made_of = environments.recipe(spec, backend.signing_key())
      recipe = wire.encode(made_of) if made_of else b""
      submission = Submission(spec, digest, runner, variables, key, recipe)
      backend.submit_job(submission, stored)
    except BaseException as error:
      take_back(error)
      raise


def _call_off(
  directory: JobDirectory, spec: JobSpec, key: bytes, report: Report
) -> None:
  """Ends a job as cancelled that may run, and cannot be taken back."""
  with contextlib.suppress(errors.StoreError):
    endings.cancel(directory, spec, key, provenance.who())
  report(
    Step(
      f"{spec.job_id} may have started all the same, and cannot be taken back "
      "now: it is stored as cancelled, which it looks for; to be sure: "
      f"`keras-remote jobs cancel {spec.job_id}`",
      warning=True,
    )
  )


@contextlib.contextmanager
def preparing(place: Home, job_id: str) -> Iterator[None]:
  """Holds the lock that says that this process still submits the job.

  Its file stays for a day: without the lock it says that nobody does.
  """
  path = ensure(place.preparing) / job_id
  with holding(path):
    try:
      yield
    except BaseException:
      path.unlink(missing_ok=True)
      raise
  if not place.remembered("swept", "preparing"):
    place.remember("swept", "preparing")
    place.sweep_preparing()
