"""What a job's environment is made of."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Requirements:
  """What a job's environment is made of, as PEP 508 lines, sorted.

  Attributes:
    stack: jax, keras and what belongs to the accelerator's category: the
      layer that stays.
    rest: the user's others.
  """

  stack: tuple[str, ...]
  rest: tuple[str, ...]
