"""Uses that a type checker must take, with the types that it must see."""

import asyncio
from concurrent.futures import Future
from pathlib import Path
from typing import Any, assert_type

import keras_remote


@keras_remote.run
def plain(lr: float, *, epochs: int = 1) -> dict[str, float]:
  return {"loss": lr * epochs}


@keras_remote.run(
  accelerator="v5e-8",
  backend="local",
  build_service_account="builds@project.iam.gserviceaccount.com",
  capture_env_vars=["WANDB_*"],
  cpu=4,
  distribution="data_parallel",
  env={"SEED": "1"},
  hosts=1,
  max_preemptions=3,
  memory="16Gi",
  name="train",
  priority_class="low",
  queue="gpus",
  retries=1,
  service_account="trainer",
  slices=1,
  startup_timeout="5m",
  store=Path("jobs"),
  tags=["sweep"],
  timeout="2h",
  working_dir=".",
)
async def awaited(lr: float) -> list[float]:
  await asyncio.sleep(0)
  return [lr]


@keras_remote.run()
def nothing() -> None: ...


class Trainer:
  @keras_remote.run(timeout=90)
  def fit(self, steps: int) -> bytes:
    return bytes(steps)


# A call has the function's own arguments and type.
assert_type(plain(1e-3), dict[str, float])
assert_type(plain(lr=1, epochs=2), dict[str, float])
assert_type(plain.local(1e-3), dict[str, float])
nothing()

# An async function is awaited there: here a call gives the value itself.
assert_type(awaited(1e-3), list[float])
assert_type(awaited.submit(1e-3).result(), list[float])
assert_type(awaited.local(1e-3), list[float])

# Options, None too, leave the types as they are.
assert_type(plain.options(timeout=90, tags=None)(1e-3), dict[str, float])
assert_type(awaited.options(accelerator="cpu")(1e-3), list[float])
with keras_remote.settings(backend="local", timeout=60):
  assert_type(plain(1e-3), dict[str, float])

# A method is bound as usual.
assert_type(Trainer().fit(3), bytes)
assert_type(Trainer().fit.submit(steps=3).result(), bytes)

# A handle knows what its job returns.
job = plain.submit(1e-3)
assert_type(job, keras_remote.JobHandle[dict[str, float]])
assert_type(job.result(timeout=60), dict[str, float])
assert_type(job.follow(), dict[str, float])
assert_type(job.exception(), BaseException | None)
assert_type(job.future(), Future[dict[str, float]])
assert_type(job.rerun(timeout=90), keras_remote.JobHandle[dict[str, float]])
assert_type(job.status(), keras_remote.State)
assert_type(job.done(), bool)
assert_type(job.cancel(), bool)
assert_type(job.tail(5), str)
for text in job.logs(follow=True):
  assert_type(text, str)
for file in job.files():
  assert_type(file, keras_remote.JobFile)
assert_type(job.files().copy_to("here"), list[Path])


async def wait() -> None:
  assert_type(await plain.submit(1e-3), dict[str, float])
  assert_type(await awaited.submit(1e-3), list[float])


# From an id nobody knows the type; who does may say so.
assert_type(keras_remote.attach().result(), Any)
known: keras_remote.JobHandle[float] = keras_remote.attach("train-2026")
assert_type(known.result(), float)
assert_type(keras_remote.list_jobs(limit=3), list[keras_remote.JobSummary])

# Outside a job there is none.
current = keras_remote.current_job()
assert_type(current, keras_remote.CurrentJob | None)
if current:
  assert_type(current.output_dir, Path)
  assert_type(current.slice, int)

try:
  plain(1e-3)
except keras_remote.WorkerDiedError as error:
  assert_type(error.job_id, str)
  assert_type(error.exit_code, int | None)
