import contextlib
import dataclasses
import enum
import json
import types
import typing
from collections.abc import Mapping
from typing import Any

from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_remote import errors
from keras_remote.job import wire
from keras_remote.job.outcome import Cause, HostReport, Outcome, Started
from keras_remote.job.spec import JobSpec
from keras_remote.job.state import State
from tests.fakes.specs import job_spec

# Texts may hold anything that a file's name may: halves of surrogates too.
_TEXT = st.text(st.characters())
_ATOMS: dict[Any, st.SearchStrategy[Any]] = {
  str: _TEXT,
  int: st.integers(),
  float: st.floats(allow_nan=False, allow_infinity=False),
  bool: st.booleans(),
  types.NoneType: st.none(),
}


def _any(kind: Any) -> st.SearchStrategy[Any]:
  """Any value that a field of this type may hold."""
  if kind in _ATOMS:
    return _ATOMS[kind]
  origin, arguments = typing.get_origin(kind), typing.get_args(kind)
  if origin is tuple:
    return st.lists(_any(arguments[0]), max_size=3).map(tuple)
  if origin is Mapping:
    return st.dictionaries(_TEXT, _any(arguments[1]), max_size=3)
  if arguments:
    return st.one_of([_any(each) for each in arguments])
  if issubclass(kind, enum.Enum):
    return st.sampled_from(list(kind))
  hints = typing.get_type_hints(kind)
  return st.builds(kind, **{name: _any(hint) for name, hint in hints.items()})


def _changed(**fields: object) -> bytes:
  """An outcome's JSON, with other fields; one that is `...` left out."""
  outcome = Outcome(
    1, State.FAILED, Cause.EXIT, message="m", ended="e", writer="w"
  )
  plain = json.loads(wire.encode(outcome)) | fields
  return json.dumps({k: v for k, v in plain.items() if v is not ...}).encode()


class WireTest(parameterized.TestCase):
  @parameterized.parameters(JobSpec, Outcome, HostReport, Started)
  def test_round_trip(self, cls: type[object]) -> None:
    """Whatever the fields hold, decode gives back what encode was given."""

    @given(_any(cls))
    def check(value: object) -> None:
      data = wire.encode(value)
      self.assertEqual(wire.decode(cls, data, "it"), value)
      json.loads(data, parse_constant=self.fail)

    check()

  def test_the_same_value_has_the_same_bytes(self) -> None:
    """The digest of a spec does not hang on the order of its mappings."""
    spec = job_spec()
    turned = dataclasses.replace(
      spec,
      entry=dataclasses.replace(spec.entry, params={"b": 1, "a": 2}),
    )
    entry = dataclasses.replace(spec.entry, params={"a": 2, "b": 1})
    same = dataclasses.replace(spec, entry=entry)
    self.assertEqual(wire.encode(turned), wire.encode(same))

  def test_a_newer_field_is_refused(self) -> None:
    """What this version does not know is not dropped; the cure is named."""
    for data in (
      _changed(colour="red"),
      _changed(state="PAUSED"),
      _changed(cause="boredom"),
      _changed(version=wire.VERSION + 1),
      _changed(version=wire.VERSION + 1, colour="red"),
    ):
      with self.assertRaisesRegex(
        errors.ConfigError, "outcome.json.*newer.*git pull.*pip install /"
      ):
        wire.decode(Outcome, data, "outcome.json")

  def test_a_newer_field_is_refused_in_the_parts(self) -> None:
    """An unknown field is found as deep as it lies, and named."""
    plain = json.loads(wire.encode(job_spec()))
    plain["limits"]["patience"] = 3
    with self.assertRaisesRegex(errors.ConfigError, "'patience'"):
      wire.decode(JobSpec, json.dumps(plain).encode(), "spec.json")

  def test_cut_short(self) -> None:
    """However much of the end is missing, it is found and named."""
    data = wire.encode(job_spec())
    for length in range(len(data)):
      with self.assertRaisesRegex(errors.IntegrityError, "spec.json .*cut"):
        wire.decode(JobSpec, data[:length], "spec.json")

  @parameterized.parameters(
    b"",
    b"null",
    b"[]",
    b"1",
    b'"text"',
    b"{}",
    b"\xff\xfe\xff",
    b"[" * 100_000,
    b'{"version": null}',
    b'{"version": 1}',
    b'{"version": []}',
    _changed(attempt=...),
    _changed(attempt=True),
    _changed(attempt=1.0),
    _changed(attempt="1"),
    _changed(attempt=None),
    _changed(message=1),
    _changed(message=None),
    _changed(message=["m"]),
    _changed(state=None),
    _changed(state=5),
    _changed(state=[]),
    _changed(exit_code="1"),
    _changed(exit_code=False),
  )
  def test_what_is_no_outcome(self, data: bytes) -> None:
    """A missing field, or one of the wrong type, is refused; a bool is no int."""
    with self.assertRaisesRegex(errors.IntegrityError, "it is cut short or"):
      wire.decode(Outcome, data, "it")

  @parameterized.parameters(
    ("limits", {"timeout": True}),
    ("limits", {"timeout": "1"}),
    ("limits", {"timeout": 10**400}),
    ("limits", []),
    ("origin", None),
    ("resources", {"accelerator": "cpu", "emulated": 1}),
    ("entry", {"kind": "call", "argv": "ls"}),
    ("entry", {"kind": "call", "argv": [1]}),
    ("entry", {"kind": "call", "params": []}),
    ("entry", {"kind": "call", "params": {"a": []}}),
    ("entry", {"kind": "call", "params": {"a": {"b": 1}}}),
  )
  def test_what_is_no_spec(self, part: str, value: object) -> None:
    """Wrong types are found in parts, lists, mappings and unions too."""
    plain = json.loads(wire.encode(job_spec())) | {part: value}
    with self.assertRaises(errors.IntegrityError):
      wire.decode(JobSpec, json.dumps(plain).encode(), "spec.json")

  @given(st.binary())
  def test_any_bytes(self, data: bytes) -> None:
    """Whatever lies in the store, only our own errors come of it."""
    with self.assertRaises((errors.IntegrityError, errors.ConfigError)):
      wire.decode(Outcome, data, "it")

  @settings(max_examples=50)
  @given(
    st.recursive(
      st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
      lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner),
    ),
    st.sampled_from([f.name for f in dataclasses.fields(JobSpec)]),
  )
  def test_any_json(self, value: object, part: str) -> None:
    """Whatever JSON a part of a spec is, it is refused in our own errors."""
    plain = json.loads(wire.encode(job_spec()))
    plain[part] = value
    data = json.dumps(plain).encode()
    with contextlib.suppress(errors.IntegrityError, errors.ConfigError):
      found = wire.decode(JobSpec, data, "it")
      self.assertEqual(wire.decode(JobSpec, wire.encode(found), "it"), found)

  @parameterized.parameters(float("nan"), float("inf"))
  def test_what_json_has_no_word_for(self, number: float) -> None:
    """A number that is not finite is not written as what only Python reads."""
    report = HostReport(1, 0, Cause.EXIT, "", seconds=number)
    with self.assertRaises(ValueError):
      wire.encode(report)


if __name__ == "__main__":
  absltest.main()
