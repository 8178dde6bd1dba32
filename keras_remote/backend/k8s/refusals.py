"""What a cluster refuses, by status, as our errors."""

import contextlib
import json

from keras_remote import errors
from keras_remote.backend.k8s.names import ClusterName

# Who asks without a log-in, as where a plugin that logs in has failed.
_ANONYMOUS = "system:anonymous"


def refusal(
  status: int, said: bytes, name: ClusterName, namespace: str
) -> errors.KerasRemoteError:
  """The error that an answer with this status, 400 or above, means."""
  message, reason = said.decode(errors="replace").strip(), ""
  with contextlib.suppress(ValueError, TypeError, KeyError):
    answer = json.loads(said)
    message, reason = answer["message"], answer.get("reason", "")
  where = name.words
  if status == 401 or (status == 403 and _ANONYMOUS in message):
    return errors.CredentialsError(
      f"{where} does not know who asks: log in to it anew; {name.login}"
    )
  if status == 403:
    return errors.ClusterAccessError(
      f"{where} does not let you: {message}; who owns it can allow it, and "
      f"`{name.kubectl} --namespace={namespace} auth can-i "
      "--list` shows what you may",
      status=status,
    )
  if status == 404 and f'namespaces "{namespace}" not found' in message:
    return errors.ClusterError(
      f"{where} has no namespace '{namespace}': `{name.kubectl} create "
      f"namespace {namespace}` or `keras-remote doctor --fix --namespace "
      f"{namespace}` makes it, or name another one",
      status=status,
    )
  return errors.ClusterError(
    f"{where} refuses ({status}): {message}", status=status, reason=reason
  )
