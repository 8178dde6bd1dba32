"""Launch: all that a first process is given by whatever started it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from keras_remote import constants, errors

_PREFIX = "KERAS_REMOTE_LAUNCH_"
# A first process's exit code where the outcome is stored and says no success:
# it need not be started again. No interpreter that fails ends with it.
ENDED_EXIT = 80
# The same where nothing can be stored: its last words say why.
FAILED_EXIT = 1
# Seconds for which a host that cannot begin at all, store or no store, is left
# to whoever looks before it frees the machines of its group.
SHOWN = 60.0


@dataclass(frozen=True)
class Launch:
  """What a first process is told, as environment variables.

  Attributes:
    store: the store's address.
    spec_digest: sha256 of spec.json; a spec that differs is refused.
    host: which of the hosts this is, from 0.
    key_file: path of the file that holds the job's key.
    scratch: path of a private local folder, empty at the start.
    allocation: a token shared by the processes that were started together.
    leader: the address at which the other hosts reach host 0.
    last_words: path of a file for what cannot be said through the store; in
      one that is there already the ending is told too, see last_words.py.
    by_line: whether who looks on live sees whole lines only.
    recipe: path of a file that says what is to be installed first; "" where
      nothing is.
    stays: whether whatever started it starts it again when it exits: so it
      stays after its end until it is told to stop.
    release: path of the folder that proves who may delete the job's objects in
      its cluster; "" where nothing is to be deleted from here.
  """

  store: str
  job_id: str
  spec_digest: str
  host: int
  hosts: int
  key_file: str
  scratch: str
  allocation: str
  leader: str
  last_words: str
  by_line: bool = False
  recipe: str = ""
  stays: bool = False
  release: str = ""

  def environ(self) -> dict[str, str]:
    """The variables that `from_environ` reads."""
    return {
      _PREFIX + field.name.upper(): str(getattr(self, field.name))
      for field in dataclasses.fields(self)
    }

  @classmethod
  def from_environ(cls, environ: Mapping[str, str]) -> "Launch":
    """The launch that these variables say.

    Raises:
      ConfigError: one is missing.
    """
    values: dict[str, str] = {}
    for field in dataclasses.fields(cls):
      name = _PREFIX + field.name.upper()
      if name not in environ:
        raise errors.ConfigError(
          f"{name} is not set: the runner is started by a backend, not by hand"
        )
      values[field.name] = environ[name]
    return cls(
      store=values["store"],
      job_id=values["job_id"],
      spec_digest=values["spec_digest"],
      host=int(values["host"]),
      hosts=int(values["hosts"]),
      key_file=values["key_file"],
      scratch=values["scratch"],
      allocation=values["allocation"],
      leader=values["leader"],
      last_words=values["last_words"],
      by_line=values["by_line"] == str(True),
      recipe=values["recipe"],
      stays=values["stays"] == str(True),
      release=values["release"],
    )


# Whoever looks for what a dead first process left finds it by this variable.
ALLOCATION_VARIABLE = _PREFIX + "ALLOCATION"
# Beside it, which a worker's whole tree has, first processes alone have this.
HOST_VARIABLE = _PREFIX + "HOST"
# A group's first processes learn it where they run.
LEADER_VARIABLE = _PREFIX + "LEADER"
# What a Python that is too old for all else still can say, it says there.
LAST_WORDS_VARIABLE = _PREFIX + "LAST_WORDS"
# It does there what it still can do for its group, too.
RELEASE_VARIABLE = _PREFIX + "RELEASE"
JOB_ID_VARIABLE = _PREFIX + "JOB_ID"
# Set and not empty where something is to be installed first.
RECIPE_VARIABLE = _PREFIX + "RECIPE"
# What user code and its child processes know of their job.
JOB_VARIABLE = "KERAS_REMOTE_JOB"

VARIABLES: frozenset[str] = frozenset(
  {JOB_VARIABLE, constants.OUTPUT_DIR_VARIABLE}
  | {_PREFIX + field.name.upper() for field in dataclasses.fields(Launch)}
)


def worker_environ(environ: Mapping[str, str]) -> dict[str, str]:
  """The worker's environment: the first process's without what is not its.

  Of the launch only the allocation stays, by which left-over processes are
  found; the rest would let user code speak for the job.
  """
  kept = {
    name: value
    for name, value in environ.items()
    if name not in VARIABLES or name == ALLOCATION_VARIABLE
  }
  # Without it what the function prints arrives when it has ended.
  return kept | {"PYTHONUNBUFFERED": "1"}
