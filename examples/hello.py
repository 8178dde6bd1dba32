"""The smallest remote call: `python examples/hello.py`."""

import keras_remote


@keras_remote.run
def hello(name: str) -> str:
  print("this line is printed there and shown here")
  return f"hello, {name}"


if __name__ == "__main__":
  print(hello("world"))
