"""What the guide of clusters shows is what the commands say."""

import shlex

from absl.testing import absltest

from tests.docs_pages import DOCS, blocks
from tests.integration.infra_case import InfraCase


class InfraDocsTest(InfraCase):
  def test_preview(self) -> None:
    """The plan in the guide is that of an empty project."""
    (shown,) = (
      block.text
      for block in blocks(DOCS / "guides" / "up-and-down.md")
      if "--preview\n" in block.text
    )
    command, *lines = shown.splitlines()
    said = self.type(*shlex.split(command.removeprefix("$ keras-remote ")))
    self.assertEqual(said.stdout.strip().splitlines(), lines)


if __name__ == "__main__":
  absltest.main()
