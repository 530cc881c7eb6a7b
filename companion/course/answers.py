"""Says whether a learner's answer to an exercise is right.

    check("03.1", my_function)

prints one line and never raises. A chapter's checkers live in `companion.course.exercises.chNN`
and are loaded when one of them is asked for:

    @exercise("03.1")
    def ascending(attempt):
        seen = attempt([3, 1, 2])
        if seen == [3, 2, 1]:
            raise Mistake("The order is descending; ascending is asked for.")
        if seen != [1, 2, 3]:
            raise NotYet(f"For [3, 1, 2] it gave {seen}.")
"""

import importlib
import re
from collections.abc import Callable
from typing import Any

from companion.course.attempt import Raised, Unwritten, guarded

Checker = Callable[[Any], None]
PACKAGE = "companion.course.exercises"
ID = re.compile(r"(\d\d)\.(\d+)")

_CHECKERS: dict[str, Checker] = {}


class Mistake(Exception):
    """A wrong answer that the checker recognises. The sentence names what was mistaken."""


class NotYet(Exception):
    """A wrong answer of another kind. The sentence says what was seen, and for which input."""


def exercise(exercise_id: str) -> Callable[[Checker], Checker]:
    """Registers a checker: a function that gets the attempt and raises if it is wrong.

    What the checker gets is the learner's function, which gives each call a copy of its arguments,
    or the learner's value.

    Raises:
        ValueError: the id is not of the form "03.1", or another checker has it.
    """
    if not ID.fullmatch(exercise_id):
        raise ValueError(f"an exercise's id looks like '03.1', not '{exercise_id}'")

    def register(checker: Checker) -> Checker:
        other = _CHECKERS.get(exercise_id)
        # A module that is loaded again brings the same name; a copied line brings another.
        if other is not None and _identity(other) != _identity(checker):
            raise ValueError(f"exercise {exercise_id} has two checkers")
        _CHECKERS[exercise_id] = checker
        return checker

    return register


def check(exercise_id: str, attempt: Any) -> None:
    """Prints in one line whether the attempt is right. Never raises.

    Args:
        exercise_id: the chapter's two digits, a point, the exercise's number.
        attempt: what the exercise asks for, a function or a value.
    """
    print(verdict(exercise_id, attempt))


def verdict(exercise_id: str, attempt: Any) -> str:
    """The line that `check` prints. Never raises, but for an interruption by the learner."""
    checker, sentence = _checker(exercise_id)
    if checker is not None:
        sentence = _judged(checker, attempt)
    return " ".join(f"{exercise_id}: {sentence}".split())


def known(chapter: str) -> list[str]:
    """The ids of a chapter's exercises, in order.

    Args:
        chapter: two digits.

    Raises:
        ImportError: the chapter's checkers exist and cannot be loaded.
    """
    name = f"{PACKAGE}.ch{chapter}"
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
    ids = [key for key in _CHECKERS if key.startswith(f"{chapter}.")]
    return sorted(ids, key=lambda key: int(key.split(".")[1]))


def _checker(exercise_id: object) -> tuple[Checker | None, str]:
    """The checker of an exercise, or None and why there is none."""
    match = ID.fullmatch(exercise_id) if isinstance(exercise_id, str) else None
    if match is None:
        return None, "there is no such exercise; an id looks like '03.1'."
    chapter = match.group(1)
    try:
        ids = known(chapter)
    except Exception as error:
        return None, f"its checker could not be loaded ({_named(error)})."
    if exercise_id in ids:
        return _CHECKERS[match.group()], ""
    others = f"chapter {chapter} has {', '.join(ids)}" if ids else f"chapter {chapter} has none"
    return None, f"there is no such exercise; {others}."


def _identity(checker: Checker) -> tuple[str, str]:
    return checker.__module__, checker.__qualname__


def _judged(checker: Checker, attempt: Any) -> str:
    try:
        checker(guarded(attempt))
    except Unwritten as unwritten:
        return f"not yet. {unwritten}"
    except Mistake as mistake:
        return f"a known mistake. {mistake}"
    except NotYet as seen:
        return f"not yet. {seen}"
    except Raised as raised:
        where = f" in line {raised.line} of its cell" if raised.line else ""
        return f"not yet. Your code raised {_named(raised.error)}{where}."
    except Exception as error:
        return f"not yet. The answer has a form that cannot be checked ({_named(error)})."
    return "right."


def _named(error: BaseException) -> str:
    """The exception's name and the first line of what it says."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # an exception of the learner's own, whose text fails too
        lines = []
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
