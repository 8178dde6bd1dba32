import dataclasses
import os
import subprocess
import sys
from typing import Any

from absl.testing import absltest, parameterized

from keras_remote.job import surroundings
from keras_remote.job.spec import JobSpec
from tests.fakes.specs import job_spec


def _spec(cpu_devices: int | None, **fields: Any) -> JobSpec:
  spec = job_spec()
  resources = dataclasses.replace(
    spec.resources, cpu_devices=cpu_devices, **fields
  )
  return dataclasses.replace(spec, resources=resources)


class SliceEnvironTest(absltest.TestCase):
  def environ(
    self, host: int, cpu_devices: int | None = None, slices: int = 2
  ) -> dict[str, str]:
    spec = _spec(cpu_devices, hosts=4, slices=slices)
    return surroundings.slice_environ(spec, "10.0.0.7:41234", host)

  def test_several_slices(self) -> None:
    """Each host says which is its own, and all where the first host is."""
    for host, number in ((0, "0"), (1, "0"), (2, "1"), (3, "1")):
      self.assertEqual(
        self.environ(host),
        {
          "MEGASCALE_COORDINATOR_ADDRESS": "10.0.0.7",
          "MEGASCALE_NUM_SLICES": "2",
          "MEGASCALE_SLICE_ID": number,
        },
      )

  def test_no_slices_to_join(self) -> None:
    """A lone slice, and emulated ones, have none of these variables."""
    self.assertEmpty(self.environ(1, slices=1))
    self.assertEmpty(self.environ(3, cpu_devices=4))


class DeviceEnvironTest(parameterized.TestCase):
  def test_emulated_devices(self) -> None:
    """As many CPU devices as the host has chips, and the Keras backend."""
    self.assertEqual(
      surroundings.device_environ(_spec(8), {}),
      {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "8",
        "JAX_ENABLE_PREEMPTION_SERVICE": "false",
      },
    )

  def test_a_real_accelerator_is_left_alone(self) -> None:
    """JAX finds by itself what is there, with the user's own flags."""
    environ = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    self.assertEqual(
      surroundings.device_environ(_spec(None), environ),
      {"KERAS_BACKEND": "jax"},
    )

  @parameterized.named_parameters(
    ("alone", "--xla_force_host_platform_device_count=4", ""),
    (
      "first",
      "--xla_force_host_platform_device_count=4 --xla_dump_to=/d",
      "--xla_dump_to=/d",
    ),
    (
      "last",
      "--xla_dump_to=/d --xla_force_host_platform_device_count=16",
      "--xla_dump_to=/d ",
    ),
    ("others", "--xla_dump_to=/d", "--xla_dump_to=/d"),
  )
  def test_the_users_flags(self, flags: str, kept: str) -> None:
    """Only the count of devices goes: JAX refuses to be told it twice."""
    environ = surroundings.device_environ(_spec(8), {"XLA_FLAGS": flags})
    self.assertEqual(environ["XLA_FLAGS"], kept)


class GroupEnvironTest(absltest.TestCase):
  def test_jax_finds_its_place(self) -> None:
    """Its own detection gives the arguments that would have to be said."""
    environ = surroundings.group_environ("10.0.0.1:99", 1, 4)
    script = (
      "from jax._src.clusters import ClusterEnv as C\n"
      "import os; given = os.environ['JAX_COORDINATOR_ADDRESS'], None, None\n"
      "print(C.auto_detect_unset_distributed_params(*given, None, None, 1))"
    )
    found = subprocess.run(
      [sys.executable, "-c", script],
      env={**os.environ, **environ},
      capture_output=True,
      text=True,
    )
    self.assertStartsWith(found.stdout, "('10.0.0.1:99', 4, 1,", found.stderr)


class CommandEnvironTest(absltest.TestCase):
  def test_this_python_and_the_projects_modules_come_first(self) -> None:
    """What was there stays behind them, and nothing else changes."""
    folder = os.path.dirname(sys.executable)
    environ = {"PATH": "/bin", "PYTHONPATH": "/lib", "A": "1"}
    self.assertEqual(
      surroundings.command_environ(["/p/src", "/p"], environ),
      {
        "PATH": os.pathsep.join([folder, "/bin"]),
        "PYTHONPATH": os.pathsep.join(["/p/src", "/p", "/lib"]),
        "A": "1",
      },
    )

  def test_nothing_is_added_where_nothing_was(self) -> None:
    """An empty entry would mean the current directory."""
    found = surroundings.command_environ([], {})
    self.assertEqual(found["PATH"], os.path.dirname(sys.executable))
    self.assertEqual(found["PYTHONPATH"], "")


if __name__ == "__main__":
  absltest.main()
