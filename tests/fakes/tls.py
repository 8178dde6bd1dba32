"""Certificates and keys, made for one test run."""

import functools
import ssl
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 30


@dataclass(frozen=True)
class Identity:
  """What a server proves itself with.

  Attributes:
    certificate: as PEM; it is its own authority.
  """

  certificate: str
  context: ssl.SSLContext


@functools.cache
def identity() -> Identity:
  """Of a server at 127.0.0.1 or localhost."""
  with tempfile.TemporaryDirectory() as folder:
    certificate, key = Path(folder, "crt"), Path(folder, "key")
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    subprocess.run(
      [
        *("openssl", "req", "-x509", "-nodes", "-days", "1", *curve),
        *("-subj", "/CN=localhost", "-addext", names),
        *("-keyout", key, "-out", certificate),
      ],
      check=True,
      capture_output=True,
      timeout=_SECONDS,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return Identity(certificate.read_text(), context)


@functools.cache
def private_key() -> str:
  """An RSA key as PEM, which signs what a service account asks."""
  made = subprocess.run(
    ["openssl", "genrsa", "2048"],
    check=True,
    capture_output=True,
    text=True,
    timeout=_SECONDS,
  )
  return made.stdout
