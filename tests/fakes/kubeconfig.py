"""A kubeconfig, for tests of what reads one."""

import json
from pathlib import Path


def kubeconfig(
  folder: str, *contexts: str, server: str = "http://127.0.0.1:9"
) -> str:
  """The path of a new one: these contexts, each with a namespace "team".

  Args:
    server: the address of their cluster; nobody listens at the default.
  """
  document = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "cluster", "cluster": {"server": server}}],
    "users": [{"name": "user", "user": {"token": "token"}}],
    "contexts": [
      {
        "name": name,
        "context": {"cluster": "cluster", "user": "user", "namespace": "team"},
      }
      for name in contexts
    ],
    "current-context": contexts[0],
  }
  path = Path(folder, "kubeconfig")
  path.write_text(json.dumps(document))
  return str(path)
