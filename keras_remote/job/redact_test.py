import json
import math
import os
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote.job import redact
from keras_remote.job.redact import HIDDEN, flat_params


class _Hostile:
  """An object of a user's that raises whatever it is asked."""

  def __getattr__(self, name: str) -> object:
    raise RuntimeError(name)

  def __len__(self) -> int:
    raise RuntimeError


class RedactTest(parameterized.TestCase):
  @parameterized.parameters(
    "HF_TOKEN",
    "token",
    "access_token",
    "authToken",
    "WANDB_API_KEY",
    "apiKey",
    "AWS_SECRET_ACCESS_KEY",
    "private-key",
    "key",
    "ssh_key",
    "password",
    "db_passwd",
    "MYSQL_PWD",
    "client_secret",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "auth",
    "basic_auth",
    "authorization",
  )
  def test_names_of_secrets(self, name: str) -> None:
    """What such a name holds is not shown."""
    self.assertTrue(redact.is_secret_name(name))
    self.assertEqual(flat_params({name: "hunter2"}), {name: HIDDEN})

  @parameterized.parameters(
    "lr",
    "tokenizer",
    "max_tokens",
    "author",
    "keyword",
    "monkey",
    "keys",
    "authority",
    "units",
  )
  def test_names_of_parameters(self, name: str) -> None:
    """A hyperparameter is not hidden for sounding like a secret."""
    self.assertFalse(redact.is_secret_name(name))

  def test_values_of_secrets(self) -> None:
    """A secret's value is hidden wherever it stands, the longest one first."""
    secrets = ("hunter2", "hunter2-and-more")
    shown = redact.hide("a hunter2-and-more b hunter2", secrets)
    self.assertEqual(shown, f"a {HIDDEN} b {HIDDEN}")
    self.assertEqual(
      flat_params({"url": "http://u:hunter2@h", "d": {"hunter2": 1}}, secrets),
      {"url": f"http://u:{HIDDEN}@h", f"d.{HIDDEN}": 1},
    )

  def test_short_values_hide_nothing(self) -> None:
    """A variable set to `1` does not blacken every 1."""
    self.assertEqual(
      redact.hide("1, 12 and on", ("1", "", "on")), "1, 12 and on"
    )

  def test_values_of_several_lines(self) -> None:
    """They are hidden whole, as Python writes them, and line by line."""
    key = "-----BEGIN-----\nabcdefgh\nxyz\n"
    hide = redact.hide
    self.assertEqual(hide(f"a {key}b", (key,)), f"a {HIDDEN}b")
    self.assertEqual(hide(repr(key), (key,)), f"'{HIDDEN}'")
    self.assertEqual(hide("| abcdefgh\n", (key,)), f"| {HIDDEN}\n")

  @given(
    st.text(min_size=6),
    st.dictionaries(st.text(), st.text(), max_size=3),
    st.text(max_size=250),
  )
  def test_no_secret_is_ever_shown(
    self, secret: str, more: dict[str, str], before: str
  ) -> None:
    """Not in a name, not in a text, not where a long text is cut."""
    if any(part in HIDDEN for part in secret):
      return  # It might come of what hides it.
    arguments = {"a": before + secret, "d": {**more, secret: secret}}
    shown = json.dumps(flat_params(arguments, (secret,)), ensure_ascii=False)
    self.assertNotIn(json.dumps(secret, ensure_ascii=False)[1:-1], shown)

  def test_scalars_stay_what_they_are(self) -> None:
    """Lists and sweeps sort numbers as numbers, numpy's too."""
    flat = flat_params(
      {
        "i": 3,
        "f": 0.5,
        "b": True,
        "n": None,
        "s": "adam",
        "np_i": np.int64(7),
        "np_f": np.float32(0.25),
        "path": Path("/data"),
        "shape": (28, 28, 1),
        "floats": [np.float64(0.5), 1],
      }
    )
    self.assertEqual(
      flat,
      {
        "i": 3,
        "f": 0.5,
        "b": True,
        "n": None,
        "s": "adam",
        "np_i": 7,
        "np_f": 0.25,
        "path": "/data",
        "shape": "[28, 28, 1]",
        "floats": "[0.5, 1]",
      },
    )
    self.assertIs(type(flat["np_i"]), int)
    self.assertIs(type(flat["np_f"]), float)

  def test_nested_mappings_are_flat(self) -> None:
    """A configuration shows its leaves by dotted names, secrets hidden."""
    config = {"opt": {"name": "adam", "lr": 0.1}, "hub": {"token": "x"}}
    self.assertEqual(
      flat_params({"config": config, "empty": {}}),
      {
        "config.opt.name": "adam",
        "config.opt.lr": 0.1,
        "config.hub.token": HIDDEN,
        "empty": "dict of 0",
      },
    )
    self.assertEqual(
      flat_params({"credentials": config}), {"credentials": HIDDEN}
    )

  def test_large_values_are_described(self) -> None:
    """Data is told by its type and size, never shown whole."""
    flat = flat_params(
      {
        "text": "x" * 1000,
        "array": np.zeros((60000, 28)),
        "list": [0] * 100,
        "names": ["a", "b"],
        "bytes": b"12345",
        "int": 10**5000,
        "nan": math.nan,
        "inf": -math.inf,
        "wide": dict.fromkeys(range(51)),
        "function": len,
      }
    )
    self.assertEqual(
      flat,
      {
        "text": "x" * 200 + "…",
        "array": "ndarray(60000, 28)",
        "list": "list of 100",
        "names": "list of 2",
        "bytes": "bytes of 5",
        "int": "int of 16610 bits",
        "nan": "nan",
        "inf": "-inf",
        "wide": "dict of 51",
        "function": "builtin_function_or_method",
      },
    )

  def test_endless_mappings_end(self) -> None:
    """A mapping within itself, and many in many, are cut off."""
    endless: dict[str, object] = {str(n): n for n in range(40)}
    endless |= {"a": endless, "b": endless, "c": endless}
    self.assertLen(flat_params({"x": endless, "y": endless}), 200)
    itself: dict[str, object] = {}
    itself["a"] = itself
    self.assertEqual(flat_params({"x": itself}), {"x.a.a.a.a": "dict of 1"})

  def test_hostile_objects_are_named(self) -> None:
    """Telling what an argument is never fails the call."""
    flat = flat_params({"a": _Hostile(), "b": {"c": _Hostile()}, "d": 1})
    self.assertEqual(flat, {"a": "_Hostile", "b": "dict", "d": 1})

  def test_the_environment_is_not_told(self) -> None:
    """As an argument it is a mapping like others, full of secrets."""
    told = redact.flat_params({"given": os.environ})
    self.assertEqual(told, {"given": f"_Environ of {len(os.environ)}"})


if __name__ == "__main__":
  absltest.main()
