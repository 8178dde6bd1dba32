"""The script that a function came from, as far as it came along."""

import os
import sys
from pathlib import Path
from types import FunctionType

from keras_remote.pickling.payload import Payload


def settle(call: Payload, root: str, context: Path) -> None:
  """Makes the call's functions at home in this process.

  `__main__` gets what they find in their script, and its file where the
  context has it: `multiprocessing` looks there. Their `__file__` leads into
  the context.

  Args:
    root: the context's root on the submitting machine.
  """
  main = vars(sys.modules["__main__"])
  # Its own globals come last: a decorator's are named as what they wrap.
  for each in call.defined:
    if each.__module__ == "__main__" and each.__qualname__.isidentifier():
      main[each.__qualname__] = each
  spaces = [f.__globals__ for f in call.defined if isinstance(f, FunctionType)]
  for space in {id(space): space for space in spaces}.values():
    file = space.get("__file__")
    if isinstance(file, str) and file.startswith(root + os.sep):
      space["__file__"] = str(context / os.path.relpath(file, root))
    if space.get("__name__") == "__main__":
      main.update(space)
  if not os.path.isfile(main.get("__file__", "")):
    main.pop("__file__", None)
