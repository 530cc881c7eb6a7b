"""Guards a learner's attempt, so that whatever it does, its checker goes on."""

import copy
import functools
import inspect
import traceback
from collections.abc import Callable
from typing import Any


class Unwritten(Exception):
    """The attempt is still the stub."""


class Raised(Exception):
    """The attempt raised.

    Args:
        error: what it raised.
        line: the line of the learner's own code, where it is known.
    """

    def __init__(self, error: BaseException, line: int | None) -> None:
        super().__init__(error, line)
        self.error = error
        self.line = line


def guarded(attempt: Any) -> Any:
    """The attempt as a checker gets it.

    A function comes back as one that gives every call a copy of its arguments, raises `Raised` for
    whatever it raises, and `Unwritten` for an empty answer. A value comes back as a copy; a class
    or another object as it is.

    Raises:
        Unwritten: the attempt is `...` or None.
    """
    if attempt is None or _has_ellipsis(attempt):
        raise Unwritten("Write your code where ... stands.")
    if inspect.isroutine(attempt) or isinstance(attempt, functools.partial):
        return _guarded_function(attempt)
    return copied(attempt)


def _guarded_function(attempt: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = copied(args), copied(kwargs)
        try:
            result = attempt(*args, **kwargs)
        except (Exception, SystemExit) as error:
            raise Raised(error, _line(error, attempt)) from error
        if _has_ellipsis(result):
            raise Unwritten("Write your code where ... stands.")
        if result is None:
            raise Unwritten("Write your code where ... stands, and return its result.")
        return result

    return functools.update_wrapper(call, attempt)


def copied(value: Any) -> Any:
    """A copy of arrays, frames, tensors, and of what lies in lists, tuples and dictionaries.

    Anything else is given as it is. A random generator must not be copied: each call would then
    see the same numbers.
    """
    if isinstance(value, tuple):
        items = [copied(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [copied(item) for item in value]
    if isinstance(value, dict):
        twin = copy.copy(value)
        for key, item in value.items():
            twin[key] = copied(item)
        return twin
    if hasattr(value, "detach") and hasattr(value, "clone"):
        return value.clone()
    if not isinstance(value, type) and callable(getattr(value, "copy", None)):
        return value.copy()
    return value


def _has_ellipsis(value: Any) -> bool:
    return value is ... or (isinstance(value, tuple) and any(item is ... for item in value))


def _line(error: BaseException, attempt: Callable[..., Any]) -> int | None:
    """The last line of the attempt's own file that the error went through."""
    code = getattr(inspect.unwrap(attempt), "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if code is not None and f.filename == code.co_filename]
    return lines[-1] if lines else None
