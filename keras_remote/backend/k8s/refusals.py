"""What a cluster refuses, by status, as our errors."""

import contextlib
import json

from keras_remote import errors


def refusal(
  status: int, said: bytes, context: str, namespace: str
) -> errors.KerasRemoteError:
  """The error that an answer with this status, 400 or above, means."""
  message = said.decode(errors="replace").strip()
  with contextlib.suppress(ValueError, TypeError, KeyError):
    message = json.loads(said)["message"]
  where = f"the cluster of context '{context}'"
  if status == 401:
    return errors.CredentialsError(
      f"{where} does not know who asks: log in to it anew; "
      f"`kubectl --context={context} auth whoami` tells who you are there"
    )
  if status == 403:
    return errors.ClusterAccessError(
      f"{where} does not let you: {message}; who owns it can allow it, and "
      f"`kubectl --context={context} --namespace={namespace} auth can-i "
      "--list` shows what you may",
      status=status,
    )
  if status == 404 and f'namespaces "{namespace}" not found' in message:
    return errors.ClusterError(
      f"{where} has no namespace '{namespace}': `kubectl --context={context} "
      f"create namespace {namespace}`, or name another one",
      status=status,
    )
  return errors.ClusterError(
    f"{where} refuses ({status}): {message}", status=status
  )
