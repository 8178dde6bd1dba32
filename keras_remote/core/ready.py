"""Before a call: whether all is there that it takes, told in one go.

It is looked at once a day for each place, so that a warm call asks for
nothing, and again after something of it has failed.
"""

import contextlib
from collections.abc import Callable, Generator, Mapping

from keras_remote import errors
from keras_remote.checks import look_at
from keras_remote.core.chain import far_links
from keras_remote.core.context import JobContext, job_context
from keras_remote.storage import links as stores
from keras_remote.storage.open import is_folder

_READY = "ready"
# What may fail because something is missing.
_FAILURES = (
  errors.ClusterError,
  errors.CredentialsError,
  errors.StoreError,
)

Ask = Callable[[str], bool]


def ready_context(
  arguments: Mapping[str, object], ask: Ask | None
) -> JobContext:
  """Where and how a call with these options runs, with all that it takes.

  Args:
    ask: puts a question to whoever sits here; None where nobody does.

  Raises:
    KerasRemoteError: as `job_context`, or something is missing.
  """
  try:
    context = job_context(arguments)
  except errors.CredentialsError:
    if ask is None:
      raise
    from keras_remote import credentials  # Only where Google was asked.

    credentials.ensure_credentials([credentials.link()], ask=ask)
    stores.forget_log_in()
    context = job_context(arguments)
  if not _far(context) or context.home.remembered(_READY, _key(context)):
    return context
  from keras_remote import credentials

  links = far_links(context.backend, context.options)
  if credentials.ensure_credentials(links, ask=ask):
    stores.forget_log_in()
    context = job_context(arguments)
  context.home.remember(_READY, _key(context))
  return context


@contextlib.contextmanager
def telling(context: JobContext) -> Generator[None]:
  """Adds to an error of the block what else is missing, and forgets nothing.

  The next call then looks at everything again.
  """
  try:
    yield
  except (*_FAILURES, errors.SubmitError) as error:
    # What was cancelled is not sent either, and nothing is missing.
    cause = error.__cause__ if isinstance(error, errors.SubmitError) else error
    if isinstance(cause, _FAILURES) and _far(context):
      context.home.forget(_READY, _key(context))
      links = far_links(context.backend, context.options)
      broken = [c for c in look_at(links) if c.ok is False]
      if len(broken) > 1:
        told = "\n".join(f"- {c.what}: {c.sentence}" for c in broken)
        error.add_note(f"all that is not well here:\n{told}")
    raise


def _far(context: JobContext) -> bool:
  """Whether anything of the call is not on this machine."""
  return not (context.backend.emulates and is_folder(context.store.uri))


def _key(context: JobContext) -> str:
  """The place, by its settings: nobody has to be asked for it."""
  options = context.options
  return " ".join(
    str(part)
    for part in (
      context.backend.name,
      options.context,
      options.project,
      options.zone,
      options.cluster,
      options.namespace,
      options.service_account,
      context.store.uri,
    )
  )
