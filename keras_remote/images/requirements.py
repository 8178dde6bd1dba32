"""What a job's environment is made of: the user's wishes, and ours.

A job unpickles what was pickled here, so it gets the client's versions of what
pickles are about, where the user does not say others.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from keras_remote import errors
from keras_remote.images.sources import Found, Line
from keras_remote.progress import Report, Step

# By what jax reaches the accelerators of a category.
_JAX = {"cpu": "", "gpu": "cuda13", "tpu": "tpu"}
_TENSORFLOW = {"gpu": "and-cuda"}
_ACCELERATOR_EXTRA = re.compile(r"(cuda|rocm|tpu).*|and-cuda")
# The package of each backend of Keras, where it has another name.
_FRAMEWORKS = ("jax", "torch", "tensorflow", "openvino")
_CLIENT = "google-cloud-storage"
_OURS = "keras-remote"
# The packages whose versions here count there.
VERSIONS = (*_FRAMEWORKS, "keras", "numpy", _CLIENT)


@dataclass(frozen=True)
class Requirements:
  """What a job's environment is made of, as PEP 508 lines, sorted.

  Attributes:
    stack: jax, keras and what belongs to the accelerator's category: the
      layer that stays.
    rest: the user's others.
  """

  stack: tuple[str, ...]
  rest: tuple[str, ...]

  @property
  def lines(self) -> tuple[str, ...]:
    """All of them, sorted."""
    return tuple(sorted({*self.stack, *self.rest}))


def resolve(
  found: Found,
  *,
  category: str,
  framework: str,
  versions: Mapping[str, str],
  report: Report,
) -> Requirements:
  """What a job needs that runs on this category of accelerator.

  Args:
    framework: the backend of Keras.
    versions: of what is installed here, by name.

  Raises:
    ConfigError: two lines contradict each other.
  """
  for note in found.notes:
    report(Step(note, warning=True))
  python = ".".join(versions["python"].split(".")[:2])
  asked = [line for line in found.lines if _name(line) != _OURS]
  holding = [line for line in asked if _holds(line, python)]
  limits = [line for line in found.constraints if _holds(line, python)]
  _check([*holding, *limits])
  names = {_name(line) for line in holding}
  extras = _extras(framework, category)
  for name in ("keras", framework, _CLIENT, "numpy"):
    if name in VERSIONS:
      extras.setdefault(name, "")
  if "jax" in names:  # Beside another backend it keeps to the CPU.
    extras.setdefault("jax", "")
  stack, rest = set[str](), set[str]()
  for line in [*asked, *limits]:
    name = _name(line)
    if name in extras or name == "jaxlib":
      version = versions.get(name, "") if _holds(line, python) else ""
      extra = extras.get(name, "")
      stack.add(_pinned(line.requirement, version, extra, category, report))
    elif line in asked or name in names:
      rest.add(_text(line.requirement))
  wanted = {*names, *(_name(line) for line in limits)}
  for name, extra in extras.items():
    if name not in wanted:
      stack.add(_ours(name, versions.get(name, ""), extra, report))
  idle = [line for line in limits if _name(line) not in names | extras.keys()]
  if idle:
    report(Step(_idle(idle), warning=True))
  return Requirements(tuple(sorted(stack)), tuple(sorted(rest)))


def _extras(framework: str, category: str) -> dict[str, str]:
  """What brings the accelerator, by name of a package."""
  if framework == "tensorflow":
    return {"tensorflow": _TENSORFLOW.get(category, "")}
  # Another backend needs no jax, or one that keeps off its accelerator.
  return {"jax": _JAX[category]} if framework == "jax" else {}


def _ours(name: str, version: str, extra: str, report: Report) -> str:
  """The line of what nobody asked for."""
  head = f"{name}[{extra}]" if extra else name
  if name == "numpy":
    # What one major version has pickled the other does not read; of the rest
    # other packages know more.
    return f"numpy=={Version(version).major}.*" if version else "numpy"
  return f"{head}{_pin(name, version, report)}"


def _pinned(
  requirement: Requirement,
  version: str,
  extra: str,
  category: str,
  report: Report,
) -> str:
  """The user's line, with the version of here where it leaves that open."""
  made = Requirement(str(requirement))
  own = {e for e in made.extras if not _ACCELERATOR_EXTRA.fullmatch(e)}
  if extra:
    # Another of this category, such as cuda12, is the user's choice.
    fitting = {e for e in made.extras - own if _fits(e, category)}
    made.extras = own | (fitting or {extra})
  elif category == "cpu":
    made.extras = own
  name = canonicalize_name(made.name)
  # Of numpy and of an address the user says enough.
  open_ = not (made.url or _exact(made.specifier) or name == "numpy")
  if open_ and version:
    pin = _pin(name, version, report)
    if pin and made.specifier.contains(pin[2:], prereleases=True):
      made.specifier = SpecifierSet(pin)
  return _text(made)


def _fits(extra: str, category: str) -> bool:
  return (extra == "tpu") == (category == "tpu") and category != "cpu"


def _pin(name: str, version: str, report: Report) -> str:
  """The specifier of the version here; "" where no index has that."""
  try:
    found = Version(version)
  except InvalidVersion:
    return ""
  if found.is_devrelease:
    report(
      Step(
        f"{name} {version} of here is in no index: the job gets the newest",
        warning=True,
      )
    )
    return ""
  # What follows a plus, as in 2.9.0+cpu, is known to some indexes only.
  return f"=={found.public}"


def _check(lines: Iterable[Line]) -> None:
  by_name: dict[str, list[Line]] = {}
  for line in lines:
    by_name.setdefault(_name(line), []).append(line)
  for same in by_name.values():
    for index, one in enumerate(same):
      for other in same[index + 1 :]:
        if _contradict(one.requirement, other.requirement):
          raise errors.ConfigError(
            f"no version of {one.requirement.name} is both {one} and {other}: "
            "change one of the lines"
          )


def _contradict(one: Requirement, other: Requirement) -> bool:
  if one.url or other.url:
    return bool(one.url and other.url) and one.url != other.url
  pairs = ((one.specifier, other.specifier), (other.specifier, one.specifier))
  return any(
    not rest.contains(version, prereleases=True)
    for pinned, rest in pairs
    for version in _exact(pinned)
  )


def _exact(specifier: SpecifierSet) -> list[str]:
  """The versions that it names as the only ones."""
  return [
    each.version
    for each in specifier
    if each.operator in ("==", "===") and not each.version.endswith(".*")
  ]


def _holds(line: Line, python: str) -> bool:
  """Whether the line is of any effect on the machines that jobs run on."""
  marker = line.requirement.marker
  target = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": f"{python}.0",
    "python_version": python,
    "sys_platform": "linux",
  }
  return marker is None or marker.evaluate(target)


def _name(line: Line) -> str:
  return canonicalize_name(line.requirement.name)


def _text(requirement: Requirement) -> str:
  made = Requirement(str(requirement))
  made.name = canonicalize_name(made.name)
  return str(made)


def _idle(lines: list[Line]) -> str:
  names = sorted({_name(line) for line in lines})
  shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
  return (
    f"constraints of packages that nothing here requires ({shown}) are not "
    "followed: require those that matter"
  )
