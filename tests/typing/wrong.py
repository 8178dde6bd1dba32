"""Uses that a type checker must report: those marked `# wrong`, no other."""

import keras_remote


@keras_remote.run
def plain(lr: float, *, epochs: int = 1) -> dict[str, float]:
  return {"loss": lr * epochs}


@keras_remote.run(accelerator="v5e-8")
async def awaited(lr: float) -> list[float]:
  return [lr]


class Trainer:
  @keras_remote.run
  def fit(self, steps: int) -> bytes:
    return bytes(steps)


# Arguments that do not fit the function, however it is called.
plain("x")  # wrong
plain()  # wrong
plain(1e-3, 2)  # wrong
plain(1e-3, epoch=2)  # wrong
plain.submit("x")  # wrong
plain.local("x")  # wrong
plain.options(timeout=90)("x")  # wrong
awaited("x")  # wrong
awaited.submit()  # wrong
Trainer().fit("x")  # wrong
Trainer().fit.submit()  # wrong

# Values that are taken for something else.
loss: float = plain(1e-3)  # wrong
losses: list[str] = awaited(1e-3)  # wrong
content: str = Trainer().fit(3)  # wrong
job: keras_remote.JobHandle[int] = plain.submit(1e-3)  # wrong
plain.submit(1e-3).result() + 1  # wrong
plain(1e-3).result()  # wrong
plain.submit(1e-3)["loss"]  # wrong


async def wait() -> None:
  await plain(1e-3)  # wrong
  await awaited(1e-3)  # wrong
  found: int = await plain.submit(1e-3)  # wrong


# Options that there are not, or of another type.
keras_remote.run(acelerator="v5e-8")  # wrong
keras_remote.run(accelerator=8)  # wrong
keras_remote.run(capture_env_vars="HF_TOKEN")  # wrong
keras_remote.run(env={"SEED": 1})  # wrong
keras_remote.run(tags="sweep")  # wrong
keras_remote.run(hosts="four")  # wrong
keras_remote.run(slices=2.0)  # wrong
keras_remote.run(retries=True, max_preemptions="10")  # wrong
keras_remote.run(distribution="model_parallel")  # wrong
keras_remote.run("v5e-8")  # wrong
plain.options(timout=90)  # wrong
plain.options(timeout=[90])  # wrong
plain.submit(1e-3).rerun(profile="x")  # wrong
keras_remote.settings(backnd="local")  # wrong

# Jobs.
keras_remote.attach(3)  # wrong
keras_remote.attach("train").result("60")  # wrong
keras_remote.list_jobs(3)  # wrong
keras_remote.current_job().output_dir  # wrong
keras_remote.no_such_name  # wrong
