"""What every test needs: absl's flags, hypothesis and an environment of its own."""

import os
import sys
from collections.abc import Iterator

import hypothesis
import pytest
from absl import flags
from absl.testing import absltest  # noqa: F401 It defines the flag.

flags.FLAGS.mark_as_parsed()

# Where it is set, each of a thousand processes compiles all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# pexpect forks, and closes what gRPC would go on with in the child: which then
# says so on the terminal, or dies, before it is the command.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"

# Two cores run both the tests and what they start: time is no verdict here.
hypothesis.settings.register_profile(
  "keras_remote", deadline=None, derandomize=True, print_blob=True
)
hypothesis.settings.load_profile("keras_remote")


@pytest.fixture(autouse=True, scope="session")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
  """Tests mean the same in CI, on a laptop and beside a user's own jobs."""
  with pytest.MonkeyPatch.context() as patch:
    for name in list(os.environ):
      ours = name.startswith("KERAS_REMOTE_")
      # Those say which cluster the tests run on.
      if name == "CI" or (ours and not name.startswith("KERAS_REMOTE_TEST_")):
        patch.delenv(name)
    home = tmp_path_factory.mktemp("keras_remote_home")
    patch.setenv("KERAS_REMOTE_HOME", str(home))
    # Else two runs at once would share folders, named by their tests alone.
    folder = tmp_path_factory.mktemp("absl")
    flags.FLAGS.test_tmpdir = str(folder)
    yield
