"""How many machines a call has, and how often it may lose one of them."""

import dataclasses

from keras_remote import errors
from keras_remote.accelerators.config import Accelerator, TpuConfig
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.accelerators.registry import TPUS
from keras_remote.backend.base import Backend
from keras_remote.core.options import Options
from keras_remote.job.spec import EntryKind, Limits

# Where nobody says more: spot machines are there to be taken away, and a job
# that loses so many of them gets nowhere.
SPOT_PREEMPTIONS = 10


def accelerator_of(options: Options) -> Accelerator:
  """What each slice or machine of the call is, with the hosts it asks for.

  Raises:
    AcceleratorError: there is no such accelerator.
    ConfigError: it does not come with so many hosts, or in slices.
  """
  found = parse_accelerator(options.accelerator)
  if isinstance(found, TpuConfig):
    _check_slice(found, options)
    return found
  if options.slices > 1:
    raise errors.ConfigError(
      f"slices={options.slices} of {found}: only TPUs come in slices; "
      f"hosts={options.slices} has as many machines run it"
    )
  return dataclasses.replace(found, hosts=options.hosts or found.hosts)


def hosts(options: Options) -> int:
  """How many machines the call has, all slices together; raises the same."""
  return accelerator_of(options).hosts * options.slices


def check_backend(options: Options, backend: Backend, *, named: bool) -> None:
  """Passes for a backend that can run them, and start them again as asked.

  Args:
    named: whether the user chose it by name.

  Raises:
    AcceleratorError, ConfigError: as `accelerator_of`.
    ConfigError: the backend cannot.
  """
  machines = hosts(options)
  backend.check_hosts(machines, named=named, slices=options.slices)
  again = options.retries or options.max_preemptions
  if again and machines > 1 and not backend.restarts_groups:
    raise errors.ConfigError(
      f"the backend {backend.name} cannot start several hosts again together: "
      'take backend="pathways", which can, or leave retries= and '
      "max_preemptions= out"
    )


def limits(options: Options, backend: Backend) -> Limits:
  """How long and how often the job may run on a backend that was checked."""
  preemptions = options.max_preemptions
  if preemptions is None:
    alone = hosts(options) == 1 or backend.restarts_groups
    usual = default_preemptions(accelerator_of(options))
    preemptions = usual if alone else 0
  timeout = options.timeout
  return Limits(
    timeout=backend.usual_timeout if timeout is None else timeout,
    startup_timeout=options.startup_timeout,
    retries=options.retries,
    pending_timeout=options.pending_timeout,
    max_preemptions=preemptions,
  )


def default_preemptions(accelerator: Accelerator) -> int:
  """How often a machine may be taken away where nobody says it."""
  return SPOT_PREEMPTIONS if accelerator.spot else 0


def check_framework(options: Options, framework: str) -> None:
  """Passes for a backend of Keras that can use the machines, as asked.

  Raises:
    AcceleratorError, ConfigError: as `accelerator_of`.
    ConfigError: only jax can.
  """
  machines = hosts(options)
  if framework == "jax":
    return
  if machines > 1:
    raise errors.ConfigError(
      f"{options.accelerator or 'cpu'} on {machines} hosts: only jax runs on "
      f"several; set KERAS_BACKEND=jax in place of {framework}, or choose an "
      "accelerator of one host"
    )
  if options.distribution:
    raise errors.ConfigError(
      f'distribution="{options.distribution}" is for Keras on jax, and here it '
      f"is on {framework}: set KERAS_BACKEND=jax, or leave distribution= out"
    )


def check_entry(options: Options, kind: EntryKind) -> None:
  """Raises ConfigError where a command is asked to do what functions can."""
  if kind is EntryKind.COMMAND and options.distribution:
    raise errors.ConfigError(
      f'distribution="{options.distribution}" is for functions: Keras in a '
      "command is its own; have it call keras.distribution.set_distribution, "
      "and leave distribution= out"
    )


def _check_slice(slice_: TpuConfig, options: Options) -> None:
  if options.hosts is not None and options.hosts != slice_.hosts:
    raise errors.ConfigError(
      f"hosts={options.hosts} of {slice_}: a slice of this size has "
      f"{slice_.hosts}, so leave hosts= out{_with_hosts(slice_, options.hosts)}"
    )
  if options.slices > 1 and slice_.hosts == 1:
    raise errors.ConfigError(
      f"slices={options.slices} of {slice_}: GKE joins slices of several hosts "
      f"only{_with_hosts(slice_, 2, 4)}"
    )


def _with_hosts(slice_: TpuConfig, *wanted: int) -> str:
  """Which slice of the same kind has so many hosts, as a sentence's end."""
  largest = {tpu.hosts: tpu for tpu in TPUS[slice_.generation].sizes.values()}
  for number in wanted:
    if number in largest:
      named = dataclasses.replace(largest[number], spot=slice_.spot)
      hosts_ = "1 host" if number == 1 else f"{number} hosts"
      return f"; {named} is the one of {hosts_}"
  return ""
