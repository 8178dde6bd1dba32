import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pulumi
from absl.testing import absltest

from keras_remote.cli.infra.engine import EngineError, Program, Resource
from tests import engine_contract
from tests.fakes.pulumi_engine import Cloud, FakeEngine, place

_KIND = "test:index:Thing"


class _Thing(pulumi.CustomResource):
  def __init__(self, name: str, inputs: dict[str, Any]) -> None:
    super().__init__(_KIND, name, inputs)


class FakeEngineTest(engine_contract.EngineContract):
  """The fake is as Pulumi is."""

  def setUp(self) -> None:
    super().setUp()
    self.path = Path(self.create_tempdir().full_path, "cloud.json")

  def engine(self) -> FakeEngine:
    return FakeEngine(Cloud(self.path))

  def things(self, **wanted: dict[str, Any]) -> Program:
    def program() -> None:
      for name, inputs in wanted.items():
        _Thing(name, dict(inputs))

    return program

  def exists(self, name: str) -> bool:
    return place(Resource(_KIND, name)) in Cloud(self.path).there

  @contextlib.contextmanager
  def in_use(self, name: str) -> Generator[None]:
    cloud = Cloud(self.path)
    cloud.faults[name] = "googleapi: Error 400: it is in use"
    cloud.save()
    yield
    cloud.load()
    del cloud.faults[name]
    cloud.save()

  def killed_at(self, name: str, program: Program) -> None:
    cloud = Cloud(self.path)
    cloud.dies = name
    cloud.save()
    with self.assertRaises(EngineError):
      self.engine().up(program, self.events.append)


if __name__ == "__main__":
  absltest.main()
