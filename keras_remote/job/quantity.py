"""Amounts of CPU and memory, as Kubernetes writes them."""

import math
import re

_UNITS = {
  **{f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)},
  **{letter: 1000**power for power, letter in enumerate("kMGTPE", 1)},
}
_SMALL = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)
_QUANTITY = re.compile(
  r"(\d+(?:\.\d+)?(?:[eE]-?\d+(?!\w))?)([A-Za-z]*)", re.ASCII
)
_CORES = re.compile(r"(\d+(?:\.\d+)?)(m?)", re.ASCII)
_MILLI = 1000
# Seen on a cluster: a function that does nothing returns with so much, and is
# killed for want of memory with 8 MiB less.
_LEAST = 48 * _UNITS["Mi"]


def cpu(value: object) -> str:
  """The number of cores in its shortest form: "4", "500m".

  Args:
    value: a number, or text such as "4", "0.5" or "500m".

  Raises:
    ValueError: it is none above 0; the text says what is wrong.
  """
  cores = math.nan
  if isinstance(value, int | float) and not isinstance(value, bool):
    cores = float(value)
  elif isinstance(value, str) and (match := _CORES.fullmatch(value.strip())):
    cores = float(match[1]) / (_MILLI if match[2] else 1)
  if not math.isfinite(cores) or (milli := round(cores * _MILLI)) < 1:
    raise ValueError(repr(value))
  return f"{milli}m" if milli % _MILLI else str(milli // _MILLI)


def memory(value: object) -> str:
  """The amount as it is, but for blanks: "16Gi", "500M".

  Raises:
    ValueError: it is none, or too little; the text says what is wrong.
  """
  if isinstance(value, int | float) and not isinstance(value, bool):
    raise ValueError(f"{value!r}, which has no unit: perhaps '{value}Gi'")
  match = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
  if match is None:
    raise ValueError(repr(value))
  number, unit = match.groups()
  if unit not in _UNITS:
    meant = f"{unit[:1].upper()}i"
    right = f"{number}{meant if meant in _UNITS else 'Gi'}"
    raise ValueError(f"{value!r}: Kubernetes writes '{right}'")
  if float(number) * _UNITS[unit] < _LEAST:
    raise ValueError(f"{value!r}, which is less than Python needs")
  return number + unit


def half(amount: str) -> str:
  """Half of what `memory` gave, in MiB."""
  match = _AMOUNT.fullmatch(amount)
  assert match, amount
  size = float(match[1]) * _UNITS[match[2]]
  return f"{int(size / 2 / _UNITS['Mi'])}Mi"


def number(text: str) -> float:
  """What any quantity of a cluster counts: "500m" is 0.5, "1Ki" 1024.

  Raises:
    ValueError: it is none.
  """
  match = _QUANTITY.fullmatch(text.strip())
  scale = (_SMALL | _UNITS).get(match[2]) if match else None
  if match is None or scale is None:
    raise ValueError(repr(text))
  return float(match[1]) * scale
