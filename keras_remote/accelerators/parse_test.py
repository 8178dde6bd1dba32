"""Every spelling, and what each wrong one is told."""

import pathlib
import subprocess
import sys

from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from keras_remote.accelerators.config import (
  Accelerator,
  CpuConfig,
  GpuConfig,
  TpuConfig,
  topology_name,
)
from keras_remote.accelerators.parse import parse_accelerator
from keras_remote.accelerators.registry import GPUS, TPUS, accelerators
from keras_remote.errors import AcceleratorError, KerasRemoteError

_SPELLINGS = (
  # The facts' own list.
  ("v5e-8", "v5e-8"),
  ("v5litepod-8", "v5e-8"),
  ("tpu-v5e-8", "v5e-8"),
  ("tpu:v5e-8", "v5e-8"),
  ("v5e-2x4", "v5e-8"),
  ("v5e", "v5e-8"),
  ("tpu", "v5e-8"),
  ("tpu:8", "v5e-8"),
  ("l4", "l4"),
  ("gpu-l4", "l4"),
  ("gpu:l4", "l4"),
  ("a100x4", "a100x4"),
  ("a100-80gbx4", "a100-80gbx4"),
  ("gpu:a100x4", "a100x4"),
  ("nvidia-tesla-t4", "t4"),
  ("gpu", "l4"),
  ("gpu:4", "l4x4"),
  ("cpu", "cpu"),
  ("cpu:8", "cpu:8"),
  # Case and outer spaces.
  (" V5E-8", "v5e-8"),
  ("GPU:A100X4", "a100x4"),
  ("\tCPU ", "cpu"),
  # Bare generations and the other names of some.
  ("v3", "v3-8"),
  ("v4", "v4-8"),
  ("v5p", "v5p-8"),
  ("v6e", "v6e-8"),
  ("tpu7x", "tpu7x-8"),
  ("v5litepod", "v5e-8"),
  ("trillium", "v6e-8"),
  ("trillium-4", "v6e-4"),
  ("ironwood", "tpu7x-8"),
  ("ironwood-2x2x2", "tpu7x-16"),
  ("tpu-tpu7x-8", "tpu7x-8"),
  # Topologies count chips; sizes count TensorCores.
  ("v5p-2x2x2", "v5p-16"),
  ("v4-2x2x1", "v4-8"),
  ("v4-8x8x16", "v4-2048"),
  ("v4-4x16x16", "v4-4x16x16"),
  ("v5p-4x4x8", "v5p-256"),
  ("v5p-4x4x16", "v5p-4x4x16"),
  ("v5p-4x8x8", "v5p-512"),
  ("tpu:16", "v5e-16"),
  ("tpu:2x4", "v5e-8"),
  # Counts, and GPUs whose names hold an x, a dash or a number.
  ("l4x1", "l4"),
  ("a100-40gb", "a100"),
  ("a100-40gbx16", "a100x16"),
  ("a100-80gb", "a100-80gb"),
  ("gpu-a100-80gbx8", "a100-80gbx8"),
  ("rtx-pro-6000", "rtx-pro-6000"),
  ("rtx-pro-6000x8", "rtx-pro-6000x8"),
  ("gpu:rtx-pro-6000x2", "rtx-pro-6000x2"),
  ("h100-mega", "h100-megax8"),
  ("h200", "h200x8"),
  ("gb200", "gb200x4"),
  ("nvidia-tesla-t4x4", "t4x4"),
  ("nvidia-h100-mega-80gb", "h100-megax8"),
  ("gpu:1", "l4"),
  ("cpu:1", "cpu"),
)

_ERRORS = (
  (
    "v5e-12",
    "no TPU slice v5e-12: sizes of v5e are 1, 4, 8, 16, 32, 64, 128, 256;"
    " the nearest are v5e-8 and v5e-16",
  ),
  (
    "tpu:2",
    "no TPU slice v5e-2: sizes of v5e are 1, 4, 8, 16, 32, 64, 128, 256;"
    " the nearest are v5e-1 and v5e-4",
  ),
  (
    "v5litepod-512",
    "no TPU slice v5e-512: sizes of v5e are 1, 4, 8, 16, 32, 64, 128, 256;"
    " the nearest is v5e-256",
  ),
  (
    "v4-4",
    "no TPU slice v4-4: sizes of v4, in TensorCores (two a chip), are 8, 16,"
    " 32, 64, 128, 256, 384, 512, …, 8192; the nearest is v4-8",
  ),
  (
    "v5e-big",
    "no TPU slice v5e-big: sizes of v5e are 1, 4, 8, 16, 32, 64, 128, 256",
  ),
  (
    "v5e-4x2",
    "no TPU slice v5e-4x2: topologies of v5e are 1x1, 2x2, 2x4, 4x4, 4x8,"
    " 8x8, 8x16, 16x16; the nearest is v5e-2x4",
  ),
  (
    "v4-2x2",
    "no TPU slice v4-2x2: topologies of v4 are 2x2x1, 2x2x2, 2x2x4, 2x4x4,"
    " 4x4x4, 4x4x8, 4x4x12, 4x8x8, …, 16x16x16; the nearest is v4-2x2x1",
  ),
  (
    "v5p-16x8x4",
    "no TPU slice v5p-16x8x4: topologies of v5p are 2x2x1, 2x2x2, 2x2x4,"
    " 2x4x4, 4x4x4, 4x4x8, 4x4x12, 4x8x8, …, 16x16x24; the nearest is"
    " v5p-4x8x16",
  ),
  ("v2-8", "no TPU v2-8: GKE offers no v2; the oldest it has is v3-8"),
  ("tpu:v2", "no TPU v2: GKE offers no v2; the oldest it has is v3-8"),
  (
    "l4x3",
    "no accelerator l4x3: l4 comes in 1, 2, 4, 8; the nearest are l4x2 and"
    " l4x4",
  ),
  (
    "gpu:16",
    "no accelerator l4x16: l4 comes in 1, 2, 4, 8; the nearest is l4x8",
  ),
  (
    "a100-80gbx16",
    "no accelerator a100-80gbx16: a100-80gb comes in 1, 2, 4, 8; the nearest"
    " is a100-80gbx8",
  ),
  (
    "h200x1",
    "no accelerator h200x1: h200 comes in 8; the nearest is h200x8",
  ),
  ("l4x0", "no accelerator l4x0: l4 comes in 1, 2, 4, 8"),
  (
    "cpu:0",
    "no accelerator cpu:0: a CPU has one device or more, as in cpu:8",
  ),
  (
    "cpu:-1",
    "no accelerator cpu:-1: a CPU has one device or more, as in cpu:8",
  ),
  (
    "v5x-8",
    "unknown accelerator 'v5x-8'; did you mean v5e-8?"
    " `keras-remote accelerators` lists them all",
  ),
  (
    "H100:8:spot",
    "unknown accelerator 'H100:8:spot'; did you mean h100x8:spot?"
    " `keras-remote accelerators` lists them all",
  ),
  (
    "banana",
    "unknown accelerator 'banana'; `keras-remote accelerators` lists them all",
  ),
  (
    "",
    "unknown accelerator ''; `keras-remote accelerators` lists them all",
  ),
)


class SpellingsTest(parameterized.TestCase):
  @parameterized.parameters(*_SPELLINGS)
  def test_spelling_means(self, spelling: str, canonical: str):
    """A spelling is read, and its accelerator says the canonical name."""
    self.assertEqual(str(parse_accelerator(spelling)), canonical)

  @parameterized.parameters(*_SPELLINGS)
  def test_spot_may_end_any_spelling(self, spelling: str, canonical: str):
    """ ":spot" changes nothing but `spot`, and stays in the name."""
    spot = parse_accelerator(f"{spelling.rstrip()}:spot ")
    self.assertTrue(spot.spot)
    self.assertEqual(str(spot), f"{canonical}:spot")

  def test_every_topology_is_a_spelling(self):
    """Each slice also goes by its generation and topology."""
    for name, kind in TPUS.items():
      for topology, tpu in kind.topologies.items():
        self.assertEqual(
          parse_accelerator(f"{name}-{topology_name(topology)}"), tpu
        )

  def test_every_gpu_label_is_a_spelling(self):
    """The node label names the GPU, alone and with each count."""
    for kind in GPUS.values():
      bare = parse_accelerator(kind.label)
      self.assertEqual(bare, kind.counts[min(kind.counts)])
      for count, gpu in kind.counts.items():
        self.assertEqual(parse_accelerator(f"{kind.label}x{count}"), gpu)
        self.assertEqual(parse_accelerator(f"gpu:{kind.name}x{count}"), gpu)
        self.assertEqual(parse_accelerator(f"gpu-{kind.name}x{count}"), gpu)

  def test_nothing_is_the_cpu(self):
    """No accelerator is one CPU device."""
    self.assertEqual(parse_accelerator(None), CpuConfig(devices=1))

  @parameterized.parameters("v5e-8:spot", "a100x4", "cpu:8")
  def test_an_accelerator_stays_itself(self, name: str):
    """What is parsed already is given back as it is."""
    accelerator = parse_accelerator(name)
    self.assertIs(parse_accelerator(accelerator), accelerator)

  @parameterized.parameters(
    ("v4-8", TpuConfig), ("gpu", GpuConfig), ("cpu", CpuConfig)
  )
  def test_kind(self, name: str, kind: type[Accelerator]):
    """TPUs, GPUs and the CPU each have their own config."""
    self.assertIsInstance(parse_accelerator(name), kind)

  @given(st.data())
  def test_case_and_outer_spaces_do_not_matter(self, data: st.DataObject):
    """Any name in any case between any spaces is the same accelerator."""
    name = data.draw(st.sampled_from([str(each) for each in accelerators()]))
    spot = data.draw(st.sampled_from(["", ":spot"]))
    space = st.text(" \t\n", max_size=3)
    upper = data.draw(st.lists(st.booleans(), min_size=40, max_size=40))
    spelled = "".join(
      letter.upper() if up else letter
      for letter, up in zip(name + spot, upper, strict=False)
    )
    parsed = parse_accelerator(data.draw(space) + spelled + data.draw(space))
    self.assertEqual(str(parsed), name + spot)
    self.assertEqual(parse_accelerator(str(parsed)), parsed)

  @given(st.integers(1, 10**6))
  def test_any_number_of_cpu_devices(self, devices: int):
    """`cpu:N` is N devices, and its name gives them back."""
    cpu = parse_accelerator(f"cpu:{devices}")
    self.assertEqual(cpu, CpuConfig(devices))
    self.assertEqual(parse_accelerator(str(cpu)), cpu)


class ErrorsTest(parameterized.TestCase):
  @parameterized.parameters(*_ERRORS)
  def test_wrong_name_is_told_the_right_ones(self, name: str, message: str):
    """The error names what is wrong, what is right and what is nearest."""
    with self.assertRaises(AcceleratorError) as caught:
      parse_accelerator(name)
    self.assertEqual(str(caught.exception), message)

  @parameterized.parameters(
    ("gpu:v5e-8", "v5e-8"),
    ("tpu:l4", "l4"),
    ("nvidia-v5e-8", "v5e-8"),
    ("v5e:8", "v5e-8"),
    ("v7x-8", "tpu7x-8"),
    ("v5-8", "v5e-8"),
    ("trilium", "trillium"),
    ("a10", "a100"),
    ("a100:4", "a100x4"),
    ("tpu:", "tpu"),
    ("l4 :spot", "l4:spot"),
  )
  def test_nearest_name(self, name: str, nearest: str):
    """A slip of the hand is told what was meant."""
    with self.assertRaisesRegex(AcceleratorError, rf"did you mean {nearest}\?"):
      parse_accelerator(name)

  @parameterized.parameters((8,), (b"l4",), (["l4"],), (True,))
  def test_what_is_no_name(self, wrong: object):
    """Anything but a name is refused, not guessed at."""
    with self.assertRaisesRegex(AcceleratorError, "is a name such as"):
      parse_accelerator(wrong)  # pyrefly: ignore[bad-argument-type]

  @given(
    st.text(max_size=12)
    | st.from_regex(r"(v5e|v4|l4|cpu|tpu|gpu)[-:x][0-9x²٣]*(:spot)?")
  )
  def test_any_text_is_read_or_refused(self, text: str):
    """No text does worse than AcceleratorError; what is read round-trips."""
    try:
      parsed = parse_accelerator(text)
    except AcceleratorError as error:
      self.assertIsInstance(error, KerasRemoteError)
      self.assertIsInstance(error, ValueError)
    else:
      self.assertEqual(parse_accelerator(str(parsed)), parsed)

  @parameterized.parameters("v5e-", "l4x", "cpu:", "v5e-1x", "v4-2x2x")
  def test_a_very_long_number_is_only_wrong(self, start: str):
    """Ten thousand digits are refused like any other wrong size."""
    with self.assertRaises(AcceleratorError):
      parse_accelerator(start + "9" * 10_000)


class ImportTest(absltest.TestCase):
  def test_import_loads_the_standard_library_only(self):
    """A job without third-party packages can read an accelerator's name."""
    code = (
      "import sys; from keras_remote.accelerators import parse;"
      "parse.parse_accelerator('v5e-8');"
      "print(*sorted({name.split('.')[0] for name in sys.modules}"
      " - set(sys.stdlib_module_names)))"
    )
    loaded = subprocess.run(
      [sys.executable, "-S", "-c", code],
      check=True,
      capture_output=True,
      text=True,
      cwd=pathlib.Path(__file__).parents[2],
    ).stdout
    self.assertEqual(loaded.split(), ["__main__", "keras_remote"])


if __name__ == "__main__":
  absltest.main()
