"""Environments that jobs install, and that the store keeps for the next ones.

One is kept by what it is made of, for one owner. It is signed with a key of
its own, made from the cluster key: a job of another owner, which does not have
that key, cannot put one there.
"""

import dataclasses
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keras_remote import errors
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.job import layout, redact, wire
from keras_remote.job.spec import JobSpec

# Before the archive stands its signature, in hex: so it is there with it.
SIGNATURE_BYTES = 2 * hashlib.sha256().digest_size
# Variables of installers: they say where packages are, or which are taken.
PREFIXES = ("PIP_", "UV_")
# Those of them that change nothing of what is installed.
_IDLE = re.compile(
  r"CACHE|COLOR|CONCURRENT|LINK_MODE|PROGRESS|QUIET|RETRIES|TIMEOUT|VERBOSE|"
  r"VERSION_CHECK"
)
# An installer puts a variable's value there.
_REFERENCE = re.compile(r"\$\{([A-Z0-9_]+)\}")


@dataclass(frozen=True)
class Recipe:
  """What an environment is made of: all that who installs it is given.

  It is as secret as the key in it, and lies beside the job's own.

  Attributes:
    requirements: PEP 508 lines, sorted.
    python: the minor version that it has to have, such as "3.11".
    base: the image that it is installed in.
    category: cpu, gpu or tpu.
    owner: whose jobs may use it.
    key: signs the archive, in hex.
    sources: what `sources` gave, of where its packages come from.
  """

  requirements: tuple[str, ...]
  python: str
  base: str
  category: str
  owner: str
  key: str = ""
  sources: str = ""


def recipe(spec: JobSpec, cluster_key: bytes) -> Recipe | None:
  """What the job's first process is to install; None where nothing is."""
  if not spec.image.requirements:
    return None
  who = spec.origin.who
  unsigned = Recipe(
    requirements=spec.image.requirements,
    python=".".join(spec.environment.python.split(".")[:2]),
    base=spec.image.reference,
    category=parse_accelerator(spec.resources.accelerator).category,
    # As in lists: what one user submits on several machines is theirs.
    owner=who.rpartition("@")[0] or who,
    sources=spec.image.sources,
  )
  # No job has an id with a colon: this is none of their keys.
  purpose = f"environment:{unsigned.owner}:{digest(unsigned)}".encode()
  key = hmac.digest(cluster_key, purpose, hashlib.sha256)
  return dataclasses.replace(unsigned, key=key.hex())


def places(
  variables: Mapping[str, str], requirements: Iterable[str]
) -> dict[str, str]:
  """Of a job's variables those that say where its packages come from.

  One that a requirement names, and the job is not given, is empty.
  """
  found = {
    name: value
    for name, value in variables.items()
    if name.startswith(PREFIXES) and not _IDLE.search(name)
  }
  for line in requirements:
    for name in _REFERENCE.findall(line):
      found[name] = variables.get(name, "")
  return found


def sources(named: Mapping[str, str], cluster_key: bytes) -> str:
  """By what packages of other places are told apart; "" for the usual ones.

  It tells nobody who does not have the key what the places are.

  Args:
    named: what `places` gave.
  """
  if not named:
    return ""
  told = {
    # Who logs in, and how, may change daily.
    name: redact.LOG_IN.sub("://", value)
    for name, value in named.items()
    if not (redact.is_secret_name(name) or name.endswith("_USERNAME"))
  }
  text = f"sources:{json.dumps(told, sort_keys=True)}"
  return hmac.digest(cluster_key, text.encode(), hashlib.sha256).hex()


def address(made_of: Recipe, machine: str) -> str:
  """The key in the store of its archive.

  Args:
    machine: what it runs on, such as "x86_64".
  """
  owner = layout.digest(made_of.owner.encode())
  return layout.environment(owner, digest(made_of), machine)


def content(key: str) -> str:
  """What environments that differ by their machine only have in common.

  Args:
    key: what `address` gave, for any machine.
  """
  return key.partition("-")[0]


def digest(made_of: Recipe) -> str:
  """By what an environment is known: all that it is made of, and not whose."""
  anonymous = dataclasses.replace(made_of, owner="", key="")
  return layout.digest(wire.encode(anonymous))


def sign(made_of: Recipe, machine: str, archive: str) -> str:
  """The signature of the archive with this sha256."""
  key = bytes.fromhex(made_of.key)
  text = f"environment {machine} {archive}".encode()
  return hmac.new(key, text, hashlib.sha256).hexdigest()


def verify(
  made_of: Recipe, machine: str, archive: str, signature: bytes
) -> None:
  """Passes for an archive that a job of the same owner has stored.

  Raises:
    IntegrityError: it is any other.
  """
  expected = sign(made_of, machine, archive).encode()
  if not hmac.compare_digest(signature, expected):
    raise errors.IntegrityError(
      "the environment in the store is not signed by a job of "
      f"{made_of.owner}: it was cut short or changed, and nothing of it was "
      "used"
    )
