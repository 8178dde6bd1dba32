"""As much of an HTTP client as it takes to set up the cluster."""

import functools
import http.client
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from tests.cluster.layout import API, API_PORT, PKI

SERVER = f"https://{API}:{API_PORT}"

_SECONDS = 5.0
# The servers are on this machine, whatever proxy leads out of it.
_NO_PROXY = urllib.request.ProxyHandler({})


def answers(url: str) -> bool:
  """Whether a GET is answered with 200; the certificate may be any."""
  try:
    with _opener(_unverified()).open(url, timeout=_SECONDS) as response:
      return response.status == 200
  except (OSError, http.client.HTTPException):
    return False


def request(
  method: str,
  path: str,
  body: object = None,
  content_type: str = "application/json",
  kubelet: str | None = None,
) -> Any:
  """The API server's answer as JSON; None if it has no such object.

  Args:
    kubelet: host and port of the one to ask instead; it proves itself to
      nobody.

  Raises:
    OSError: It does not answer, or says no.
  """
  asked = urllib.request.Request(
    f"https://{kubelet}{path}" if kubelet else f"{SERVER}{path}",
    method=method,
    data=None if body is None else json.dumps(body).encode(),
    headers={
      "Authorization": f"Bearer {(PKI / 'token').read_text()}",
      "Content-Type": content_type,
    },
  )
  verified = ssl.create_default_context(cafile=str(PKI / "ca.crt"))
  try:
    with _opener(_unverified() if kubelet else verified).open(
      asked, timeout=_SECONDS
    ) as response:
      return json.load(response)
  except urllib.error.HTTPError as error:
    if error.code == http.client.NOT_FOUND:
      return None
    raise


def post(url: str, body: Mapping[str, object]) -> None:
  """Creates what the body says; it may be there already."""
  asked = urllib.request.Request(
    url,
    method="POST",
    data=json.dumps(body).encode(),
    headers={"Content-Type": "application/json"},
  )
  try:
    _opener(_unverified()).open(asked, timeout=_SECONDS).close()
  except urllib.error.HTTPError as error:
    if error.code != http.client.CONFLICT:
      raise


def _opener(context: ssl.SSLContext) -> urllib.request.OpenerDirector:
  return urllib.request.build_opener(
    _NO_PROXY, urllib.request.HTTPSHandler(context=context)
  )


@functools.cache
def _unverified() -> ssl.SSLContext:
  context = ssl.create_default_context()
  context.check_hostname = False
  context.verify_mode = ssl.CERT_NONE
  return context
