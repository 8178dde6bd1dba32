"""`run`: makes a function run elsewhere and gives its value back."""

import functools
import inspect
import sys
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from types import MethodType
from typing import (
  TYPE_CHECKING,
  Any,
  Concatenate,
  Generic,
  ParamSpec,
  Protocol,
  TypeVar,
  Unpack,
  cast,
  overload,
)

from keras_remote import errors
from keras_remote.core.options import OptionArguments
from keras_remote.inside.current import current_job

# Loaded by the first call: decorating costs nothing.
if TYPE_CHECKING:
  from keras_remote.core.console import Console
  from keras_remote.core.handle import JobHandle

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
# Whether this is below a call of `local`.
_in_place: ContextVar[bool] = ContextVar("in_place", default=False)


class RemoteFunction(Generic[P, R]):
  """A function that runs elsewhere when it is called.

  Inside a job, and below `local`, it is called in place: no job starts
  another. An async function gives its value; where an event loop runs in this
  thread it is to be awaited, as it would be without the decorator.

  Attributes:
    __wrapped__: the plain function.
  """

  def __init__(
    self, function: Callable[P, Any], options: OptionArguments
  ) -> None:
    self.__wrapped__ = function
    self._options = options
    functools.update_wrapper(self, function)

  def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Runs it there, shows what it prints, and returns its value.

    Raises:
      BaseException: what it raised there, as itself.
      JobError: the job ended in another way.
      KerasRemoteError: it could not be submitted.
    """
    if current_job() is not None or _in_place.get():
      return self.local(*args, **kwargs)
    from keras_remote.core import follow
    from keras_remote.core.console import Console

    console = Console()
    if inspect.iscoroutinefunction(self.__wrapped__) and _loop_runs():
      return cast(R, self._awaitable(console, args, kwargs))
    with follow.terminable():
      return self._submit(console, args, kwargs).follow(console)

  async def _awaitable(
    self, console: "Console", args: tuple[Any, ...], kwargs: dict[str, Any]
  ) -> R:
    """The value, once the job has ended; the event loop goes on meanwhile."""
    import asyncio

    from keras_remote.core.handle import say_left

    job = self._submit(console, args, kwargs)
    try:
      return await asyncio.wrap_future(job.following(console))
    except asyncio.CancelledError:
      # As with Ctrl-C: a notebook leaves the job.
      if "ipykernel" in sys.modules:
        say_left(console, job.id)
      else:
        job.cancel()
        console.say(f"cancelled {job.id}")
      raise

  def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> "JobHandle[R]":
    """Starts it there and returns at once.

    Raises:
      TypeError: the arguments do not fit the function.
      KerasRemoteError: something is wrong with the options, the function,
        its arguments or the project; nothing was started.
    """
    from keras_remote.core.console import Console

    return self._submit(Console(), args, kwargs)

  def _submit(
    self, console: "Console", args: tuple[Any, ...], kwargs: dict[str, Any]
  ) -> "JobHandle[R]":
    from keras_remote.core import execution, packing, ready
    from keras_remote.core.console import asker
    from keras_remote.core.handle import JobHandle

    if current_job() is not None:
      raise errors.SubmitError(
        f"{_name(self.__wrapped__)} cannot be submitted inside a job: no job "
        "starts another; call it, and it runs in place"
      )
    bound = self._bind(args, kwargs)
    context = ready.ready_context(self._options, asker())
    packed = packing.pack_call(
      context, self.__wrapped__, args, kwargs, bound, console.report
    )
    job_id, submitted = execution.execute_remote(
      context, packed, console.report
    )
    return JobHandle(job_id, context.store, context.backend, submitted)

  def _bind(
    self, args: tuple[Any, ...], kwargs: dict[str, Any]
  ) -> dict[str, Any]:
    signature = inspect.signature(self.__wrapped__)
    try:
      return signature.bind(*args, **kwargs).arguments
    except TypeError as error:
      name = _name(self.__wrapped__)
      raise TypeError(f"{name}{signature}: {error}") from None

  def local(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Calls it here, in this process.

    Decorated functions that it calls are called here, too.
    """
    token = _in_place.set(True)
    try:
      value = self.__wrapped__(*args, **kwargs)
      if not inspect.iscoroutine(value):
        return cast(R, value)
      if not _loop_runs():
        import asyncio

        return cast(R, asyncio.run(value))
    finally:
      _in_place.reset(token)
    return cast(R, _awaited_in_place(value))

  def options(
    self, **options: Unpack[OptionArguments]
  ) -> "RemoteFunction[P, R]":
    """The same function with some options changed.

    Raises:
      ConfigError: there is no such option.
    """
    _check_options(options, "options")
    return RemoteFunction(self.__wrapped__, {**self._options, **options})

  @overload
  def __get__(self, instance: None, owner: type) -> "RemoteFunction[P, R]": ...
  @overload
  def __get__(
    self: Callable[Concatenate[Any, Q], R], instance: object, owner: type
  ) -> "RemoteFunction[Q, R]": ...
  def __get__(self, instance: object, owner: type) -> Any:
    if instance is None:
      return self
    return RemoteFunction(MethodType(self.__wrapped__, instance), self._options)

  def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
    # Without its options: they may hold secrets, and a job has no use of them.
    from keras_remote.pickling.reference import reduce_wrapped

    return _restored, reduce_wrapped(self.__wrapped__)

  def __repr__(self) -> str:
    return f"<keras_remote function {_name(self.__wrapped__)}>"


def _restored(
  restore: Callable[..., Any], arguments: tuple[object, ...]
) -> RemoteFunction[..., Any]:
  return RemoteFunction(restore(*arguments), {})


class _Decorator(Protocol):
  """What `run(…)` gives: an async function's value is what it awaits."""

  @overload
  def __call__(
    self, function: Callable[P, Coroutine[Any, Any, R]], /
  ) -> RemoteFunction[P, R]: ...
  @overload
  def __call__(self, function: Callable[P, R], /) -> RemoteFunction[P, R]: ...


@overload
def run(
  function: Callable[P, Coroutine[Any, Any, R]], /
) -> RemoteFunction[P, R]: ...
@overload
def run(function: Callable[P, R], /) -> RemoteFunction[P, R]: ...
@overload
def run(**options: Unpack[OptionArguments]) -> _Decorator: ...
def run(
  function: Callable[..., Any] | None = None,
  /,
  **options: Unpack[OptionArguments],
) -> Any:
  """Makes a function run elsewhere: `@run(accelerator="v5e-8")`.

  The values of options are checked when the function is called. Inside a job
  a call runs in place.

  Raises:
    ConfigError: it cannot be run elsewhere at all, or there is no such
      option.
  """
  _check_options(options, "run")

  def decorate(function: Callable[..., Any]) -> Any:
    if isinstance(function, RemoteFunction):
      return function.options(**options)
    _check(function)
    return RemoteFunction(function, options)

  return decorate if function is None else decorate(function)


def _check_options(options: OptionArguments, where: str) -> None:
  from keras_remote.core.options import find

  for name in options:
    find(name, where=where)


def _loop_runs() -> bool:
  """Whether an event loop runs in this thread, which nothing may block."""
  asyncio = sys.modules.get("asyncio")
  return asyncio is not None and asyncio._get_running_loop() is not None


async def _awaited_in_place(value: Coroutine[Any, Any, R]) -> R:
  token = _in_place.set(True)
  try:
    return await value
  finally:
    _in_place.reset(token)


def _name(function: Callable[..., Any]) -> str:
  return getattr(function, "__qualname__", repr(function))


def _check(function: Callable[..., Any]) -> None:
  name = _name(function)
  if isinstance(function, (staticmethod, classmethod)):
    kind = type(function).__name__
    raise errors.ConfigError(
      f"{name} is a {kind}: write @{kind} above @keras_remote.run"
    )
  if not callable(function):
    cure = ""
    if isinstance(function, str):
      cure = f": options have names, as in run(accelerator={name})"
    raise errors.ConfigError(f"run takes a function, not {name}{cure}")
  if inspect.isclass(function):
    raise errors.ConfigError(
      f"{name} is a class: decorate a function that makes one"
    )
  try:
    inspect.signature(function)
  except ValueError as error:
    raise errors.ConfigError(
      f"{name} does not say what it takes: wrap it in a function of yours"
    ) from error
  if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(
    function
  ):
    raise errors.ConfigError(
      f"{name} is a generator: what it yields cannot be brought back one by "
      "one; return a list instead"
    )
