"""Where and how a call runs, with every option checked."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keras_remote import errors
from keras_remote.accelerators.config import Accelerator
from keras_remote.backend.base import Backend
from keras_remote.core import environment, group
from keras_remote.core.image import (
  Plan,
  builder_for,
  check_dependencies,
  choose,
  plan,
  sourced,
)
from keras_remote.core.options import Options
from keras_remote.core.places import backend_for
from keras_remote.core.settings import DEFAULT, Resolved, resolve
from keras_remote.home import Home, ensure_apart, home
from keras_remote.job.spec import Image, Limits, Resources
from keras_remote.packaging import packager
from keras_remote.packaging.ignore import OWN_RULES, Ignore
from keras_remote.progress import Report
from keras_remote.storage.open import is_folder, open_store
from keras_remote.storage.store import Store

# What else is asked of the place where it runs.
ASKED = ("cpu", "memory", "queue", "priority_class", "service_account")


@dataclass(frozen=True)
class JobContext:
  """Where and how a call runs: every option checked, nothing started.

  Attributes:
    variables: environment values for the job.
    root: the project; `cwd` lies in it.
    plan: what its container needs; None where there is no container.
  """

  options: Options
  accelerator: Accelerator
  home: Home
  backend: Backend
  store: Store
  variables: Mapping[str, str]
  root: Path
  cwd: Path
  keras_backend: str
  limits: Limits
  plan: Plan | None = None

  def image(self, report: Report) -> Image:
    """What the job's container is made of, now that it is to run.

    Raises:
      ImageBuildError: the image cannot be built.
    """
    if self.plan is None:
      return Image()
    builder = builder_for(
      *(self.backend, self.home, self.store.uri),
      self.options.build_service_account,
    )
    chosen = choose(self.plan, builder, report)
    return sourced(chosen, self.variables, self.backend)


def job_context(arguments: Mapping[str, object]) -> JobContext:
  """Where and how a call with these options would run.

  Raises:
    ConfigError: an option is unknown, malformed or does not fit.
    AcceleratorError: there is no such accelerator.
    PackagingError: the working directory is none that can be sent.
    CredentialsError: nobody is logged in to where the store is.
    StoreError: the store cannot be used.
  """
  here = _current_folder()
  resolved = resolve(arguments)
  resolved.check()
  options = resolved.options
  accelerator = group.accelerator_of(options)
  place = Home(ensure_apart(home()))
  named = resolved.origins["backend"] is not DEFAULT
  backend = backend_for(options, place)
  if accelerator.category != "cpu" and backend.emulates and not named:
    _check_ci(resolved)
  group.check_backend(options, backend, named=named)
  limits = group.limits(options, backend)
  root = (options.working_dir or packager.find_root(here)).resolve()
  packager.check_root(root)
  store = open_store(options.store)
  _check_apart(place.path, root, "home folder")
  if is_folder(store.uri):
    _check_apart(Path(store.uri), root, "store")
  captured = environment.captured(options.capture_env_vars, os.environ)
  variables = {**captured, **options.env}
  backend.check_call(store.uri, variables)
  framework = environment.keras_backend({**os.environ, **options.env})
  group.check_framework(options, framework)
  needed = None
  if backend.contains:
    needed = plan(options, accelerator, framework, root, variables)
  else:
    check_dependencies(options, root)
  return JobContext(
    options=options,
    accelerator=accelerator,
    home=place,
    backend=backend,
    store=store,
    variables=variables,
    root=root,
    cwd=here if here.is_relative_to(root) else root,
    keras_backend=framework,
    limits=limits,
    plan=needed,
  )


def _current_folder() -> Path:
  try:
    return Path.cwd()
  except FileNotFoundError as error:
    raise errors.PackagingError(
      "the current directory has been removed: `cd` to one that is there"
    ) from error


def _check_apart(folder: Path, root: Path, what: str) -> None:
  """Refuses what would be sent with every later job, keys and all."""
  inside = folder.resolve() / "jobs"
  if not inside.is_relative_to(root):
    return
  relative = inside.relative_to(root).as_posix()
  if not Ignore(root).ignored(relative, is_dir=True):
    raise errors.PackagingError(
      f"the {what} {folder} lies in the project and would be sent with it: "
      f"choose an empty or another folder, or add a rule that keeps it back "
      f"to {root / OWN_RULES}"
    )


def _check_ci(resolved: Resolved) -> None:
  if environment.in_ci():
    raise errors.ConfigError(
      f"accelerator '{resolved.options.accelerator}' is asked for in CI with "
      "no backend named, and nobody should emulate one by accident: set "
      "KERAS_REMOTE_BACKEND, to 'local' if emulation is meant"
    )


def resources(
  accelerator: Accelerator, backend: Backend, options: Options
) -> Resources:
  """What a job runs on, with this accelerator on this backend."""
  cpu = accelerator.category == "cpu"
  on_cpu = cpu or backend.emulates
  return Resources(
    accelerator=str(accelerator),
    hosts=accelerator.hosts * options.slices,
    slices=options.slices,
    emulated=on_cpu and not cpu,
    cpu_devices=accelerator.devices_per_host if on_cpu else None,
    **{name: getattr(options, name) for name in ASKED},
  )
