"""A command that runs elsewhere, in the project."""

from collections.abc import Sequence

from keras_remote.core import execution, group, packing
from keras_remote.core.console import Console, asker
from keras_remote.core.handle import JobHandle
from keras_remote.core.options import OptionArguments
from keras_remote.core.ready import ready_context
from keras_remote.job.spec import EntryKind


def submit_command(
  argv: Sequence[str], options: OptionArguments
) -> JobHandle[None]:
  """Starts the command there and returns at once.

  Raises:
    KerasRemoteError: something is wrong with the options or the project;
      nothing was started.
  """
  console = Console()
  context = ready_context(options, asker())
  group.check_entry(context.options, EntryKind.COMMAND)
  packed = packing.pack_command(tuple(argv))
  job_id, submitted = execution.execute_remote(context, packed, console.report)
  return JobHandle(job_id, context.store, context.backend, submitted)
