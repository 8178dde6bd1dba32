"""Prints how long many jobs take at once, and how many give a wrong value."""

import json
import time

import keras_remote

_JOBS = 20


@keras_remote.run
def square(x: int) -> int:
  return x * x


if __name__ == "__main__":
  began = time.perf_counter()
  jobs = [square.submit(x) for x in range(_JOBS)]
  wrong = sum(job.result() != x * x for x, job in enumerate(jobs))
  taken = (time.perf_counter() - began) * 1000
  print(json.dumps({"jobs": _JOBS, "wrong": wrong, "milliseconds": taken}))
