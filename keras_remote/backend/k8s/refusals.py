"""What a cluster refuses, by status, as our errors."""

import contextlib
import json

from keras_remote import errors


class NotFound(errors.ClusterError):
  """There is no such object, or no such namespace."""


class Exists(errors.ClusterError):
  """There is an object of this name."""


class NotReady(errors.ClusterError):
  """The request came too early, or makes no sense."""


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
      "--list` shows what you may"
    )
  if status == 404 and f'namespaces "{namespace}" not found' in message:
    return NotFound(
      f"{where} has no namespace '{namespace}': `kubectl --context={context} "
      f"create namespace {namespace}`, or name another one"
    )
  kinds = {400: NotReady, 404: NotFound, 409: Exists}
  return kinds.get(status, errors.ClusterError)(
    f"{where} refuses ({status}): {message}"
  )
