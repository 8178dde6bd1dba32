"""Which image a job's container is made of, and what is installed in it."""

import contextlib
import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from keras_remote import constants, errors
from keras_remote.accelerators.config import Accelerator
from keras_remote.accelerators.zones import zone_to_ar_location
from keras_remote.backend.base import Backend
from keras_remote.core.options import Options
from keras_remote.home import Home
from keras_remote.job import environments, layout
from keras_remote.job.spec import Image, JobSpec
from keras_remote.progress import Report, Step
from keras_remote.storage.open import is_folder

if TYPE_CHECKING:
  from keras_remote.images.requirements import Requirements

# What says another image than before.
_OF_IMAGE = ("base_image", "container_image", "dependencies", "image")


class Builder(Protocol):
  """Makes images of what jobs need, each once: see images/.

  Its methods raise ImageBuildError.
  """

  def find(
    self, base: str, category: str, requirements: "Requirements"
  ) -> str | None:
    """The image by its digest; None while there is none."""
    ...

  def start(
    self, base: str, category: str, requirements: "Requirements"
  ) -> bool:
    """Has it made, and does not wait; False where that failed lately."""
    ...

  def ensure(
    self,
    base: str,
    category: str,
    requirements: "Requirements",
    report: Report,
  ) -> str:
    """The image by its digest, once it is made."""
    ...


@dataclass(frozen=True)
class Plan:
  """What a job's container needs, checked; nothing of it is looked for yet.

  Attributes:
    container_image: which has all; None where one is to be made.
    mode: what `image=` says.
    base: the image that packages go into.
    category: of the accelerator.
    requirements: all that is to be in it; None where the image has it.
    dependencies: the lines that the user asked for.
    notes: what a person should know of them.
  """

  container_image: str | None
  mode: str
  base: str
  category: str
  requirements: "Requirements | None" = None
  dependencies: tuple[str, ...] = ()
  notes: tuple[Step, ...] = ()


def builder_for(
  backend: Backend, home: Home, store: str, account: str | None
) -> Builder | None:
  """Who builds images for the backend's jobs; None where nobody does.

  Args:
    store: the address of the jobs' store, where builds leave their logs.
    account: the service account that builds; None for the project's default.
  """
  cloud = backend.cloud
  if cloud is None:
    return None
  from keras_remote.images.builder import image_builder

  location = zone_to_ar_location(cloud.zone)
  logs = None if is_folder(store) else f"{store}/{layout.BUILDS}"
  return image_builder(cloud.project, location, home, logs, account)


def plan(
  options: Options,
  accelerator: Accelerator,
  framework: str,
  root: Path,
  variables: Mapping[str, str],
) -> Plan:
  """What a call with these options needs.

  Args:
    framework: the backend of Keras.
    root: the project, whose files say what it imports.
    variables: the job's.

  Raises:
    ConfigError: a requirement is none, or two contradict each other; or an
      image is to be built of packages that only the job is told how to find.
  """
  if options.container_image is not None:
    return Plan(
      options.container_image, options.image, "", accelerator.category
    )
  try:
    from keras_remote.images import requirements, sources
  except ModuleNotFoundError as error:
    raise errors.ConfigError(
      "jobs on a cluster need packages that are not installed here "
      f"({error.name}): {constants.install('gcp')}"
    ) from error
  notes: list[Step] = []
  found = sources.read(options.dependencies, root)
  resolved = requirements.resolve(
    found,
    category=accelerator.category,
    framework=framework,
    versions=_versions(requirements.VERSIONS),
    report=notes.append,
  )
  return Plan(
    container_image=None,
    mode=_mode(options.image, variables, resolved, notes),
    base=options.base_image or _python_image(),
    category=accelerator.category,
    requirements=resolved,
    dependencies=tuple(str(line.requirement) for line in found.lines),
    notes=tuple(notes),
  )


def check_dependencies(options: Options, root: Path) -> None:
  """Refuses a wrong `dependencies=` where a job installs none, too.

  Raises:
    ConfigError: a line is none, or a file cannot be read.
  """
  if options.dependencies is None:
    return
  # Without what reads them no call gets to where they are installed.
  with contextlib.suppress(ModuleNotFoundError):
    from keras_remote.images import sources

    sources.read(options.dependencies, root)


def _mode(
  wanted: str,
  variables: Mapping[str, str],
  requirements: "Requirements",
  notes: list[Step],
) -> str:
  """What `image=` says; a job with places of its own for packages installs.

  A build knows none of its variables: it would take what has the same name
  in another place.
  """
  places = environments.places(variables, requirements.lines)
  if not places or wanted == "install":
    return wanted
  named = ", ".join(sorted(places))
  if wanted == "build":
    raise errors.ConfigError(
      f'image="build" makes an image without {named}, which only the job is '
      'given, and may take other packages of the same names: image="install" '
      "has the job install from there; or say it by ENV in a base_image=, or "
      "give container_image= one that has all"
    )
  notes.append(Step(f"no image is built, as only the job is given {named}"))
  return "install"


def sourced(
  image: Image, variables: Mapping[str, str], backend: Backend
) -> Image:
  """The image, with by what the places of its packages are told apart."""
  places: Mapping[str, str] = {}
  if image.requirements:
    places = environments.places(variables, image.requirements)
  key = backend.signing_key() if places else b""
  return dataclasses.replace(image, sources=environments.sources(places, key))


def choose(wanted: Plan, builder: Builder | None, report: Report) -> Image:
  """The image of a job: one that is there, or one that is installed in.

  Args:
    builder: None where there is none, such as without a project.

  Raises:
    ConfigError: an image is to be built, and nobody builds any.
    ImageBuildError: it cannot be built.
  """
  for note in wanted.notes:
    report(note)
  if wanted.container_image is not None or wanted.requirements is None:
    return Image(wanted.container_image or wanted.base)
  wishes = wanted.base, wanted.category, wanted.requirements
  made_of = wanted.category, wanted.dependencies
  if wanted.mode == "build":
    if builder is None:
      raise errors.ConfigError(
        'image="build" needs a project of Google Cloud, whose Cloud Build '
        'makes it: image="install" has the job install what it needs'
      )
    return Image(builder.ensure(*wishes, report), (), *made_of)
  found = None
  if wanted.mode == "auto" and builder is not None:
    found = _found_or_begun(builder, wishes, report)
  if found is not None:
    return Image(found, (), *made_of)
  return Image(wanted.base, wanted.requirements.lines, *made_of)


def _found_or_begun(
  builder: Builder, wishes: "tuple[str, str, Requirements]", report: Report
) -> str | None:
  """The image that is there; where there is none, the next call has it."""
  try:
    found = builder.find(*wishes)
    if found is not None:
      return found
    if builder.start(*wishes):
      report(Step("an image is built for later calls: this job installs"))
    else:
      report(
        Step(
          'the image could not be built lately: image="build" tries again, and '
          "says why; this job installs",
          warning=True,
        )
      )
  except errors.ImageBuildError as error:
    report(Step(f"{error}; this job installs instead", warning=True))
  return None


def plan_again(
  old: JobSpec,
  changed: Mapping[str, object],
  options: Options,
  accelerator: Accelerator,
  framework: str,
  variables: Mapping[str, str],
) -> Plan | None:
  """What a job needs that runs again; None for the image that it had.

  Args:
    changed: the options that are not as before.
    variables: the new job's.

  Raises:
    ConfigError: another image is needed, and nothing says what is in it.
  """
  before = old.image
  fits = before.category in ("", accelerator.category) and (
    not before.category or framework == old.environment.keras_backend
  )
  if before.reference and fits and changed.keys().isdisjoint(_OF_IMAGE):
    return None
  # Of what it was made then nothing that only the settings say takes away.
  if before.category and "container_image" not in changed:
    options = dataclasses.replace(options, container_image=None)
  if before.category and "dependencies" not in changed:
    options = dataclasses.replace(options, dependencies=before.dependencies)
  if options.container_image is None and options.dependencies is None:
    raise errors.ConfigError(
      f"nothing says what {old.job_id} imports, as it ran on this machine or "
      "in an image of its own: give dependencies= or container_image="
    )
  root = Path(old.environment.root)
  return plan(options, accelerator, framework, root, variables)


def again(
  old: JobSpec,
  wanted: Plan | None,
  *,
  contains: bool,
  builder: Builder | None,
  report: Report,
) -> Image:
  """The image of a job that runs again.

  Args:
    contains: whether it runs in a container.
  """
  if wanted is not None:
    return choose(wanted, builder, report)
  if contains:
    return old.image
  return dataclasses.replace(old.image, reference="", requirements=())


def _python_image() -> str:
  return "python:{}.{}-slim".format(*sys.version_info)


def _versions(names: tuple[str, ...]) -> dict[str, str]:
  """The versions of Python and of what is installed here, by name."""
  from importlib import metadata  # 20 ms, which local calls need not take.

  found = {"python": "{}.{}.{}".format(*sys.version_info)}
  for name in names:
    try:
      found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
      continue
  return found
