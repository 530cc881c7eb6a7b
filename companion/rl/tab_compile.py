"""Numba on plain Python functions, those of a notebook too, without a mark on the function."""

import builtins
from collections.abc import Callable
from types import CellType, CodeType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary

_Versions = list[tuple[dict[str, Any], Any]]
_CACHE: WeakKeyDictionary[Callable[..., Any], _Versions] = WeakKeyDictionary()


def compiled(function: Callable[..., Any], **instead: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled by Numba, and with it the Python functions that it calls by name.

    Compilation happens at the first call. It is kept for as long as the function lives and as
    nothing that it uses has changed: a helper defined anew, or another value of a constant,
    compiles again, as a reader who edits a cell expects.

    Args:
        function: a plain function. It may use functions and constants of its module or of the
            function around it; names reached through a module (`module.helper`) are left alone.
        instead: plain functions to be used under these names, in this function alone.

    Raises:
        ValueError: it is no plain Python function.
    """
    if not isinstance(function, FunctionType):
        raise ValueError(f"only a plain Python function can be compiled; got {function!r}")
    names = {k: v for k, v in _names(function).items() if v is not function} | instead
    uses = {name: compiled(value) if _is_plain(value) else value for name, value in names.items()}
    versions = _CACHE.setdefault(function, [])
    for known, version in versions:
        if _same(known, uses):
            return version
    versions.append((uses, _jit(function, uses)))
    return versions[-1][1]


def reads(function: Callable[..., Any], attribute: str) -> bool:
    """Whether the function, or one that it calls by name, mentions an attribute."""
    if not isinstance(function, FunctionType):
        return False
    helpers = [value for value in _names(function).values() if _is_plain(value)]
    return attribute in _mentioned(function.__code__) or any(
        reads(helper, attribute) for helper in helpers if helper is not function
    )


def _jit(function: FunctionType, uses: dict[str, Any]) -> Any:
    """Numba's version of a copy that sees compiled helpers where the original sees plain ones."""
    from numba import njit  # half a second: only who compiles waits for it

    code, cells = function.__code__, function.__closure__
    closure = cells and tuple(
        CellType(uses.get(name, cell.cell_contents))
        for name, cell in zip(code.co_freevars, cells, strict=True)
    )
    space = {**function.__globals__, **uses}
    copy = FunctionType(code, space, function.__name__, function.__defaults__, closure)
    copy.__qualname__ = function.__qualname__
    # Division by zero follows IEEE, as NumPy's does; without the lock, threads run side by side;
    # inlining by LLVM saves counting references, most of the time of a step.
    return njit(copy, nogil=True, error_model="numpy", forceinline=True)


def _names(function: FunctionType) -> dict[str, Any]:
    """What the function's code finds under the names that it does not set itself."""
    found = {
        name: function.__globals__[name]
        for name in sorted(_mentioned(function.__code__))
        if name in function.__globals__ and not hasattr(builtins, name)
    }
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return found | {name: cell.cell_contents for name, cell in cells}


def _mentioned(code: CodeType) -> set[str]:
    """Global names and attributes in the code, and in the functions inside it."""
    inner = [_mentioned(const) for const in code.co_consts if isinstance(const, CodeType)]
    return set(code.co_names).union(*inner)


def _is_plain(value: Any) -> bool:
    home = getattr(value, "__module__", None) or ""
    return isinstance(value, FunctionType) and not home.startswith(("numpy", "numba"))


def _same(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether all names lead to the same things. Equal numbers are the same; arrays need not be."""
    return old.keys() == new.keys() and all(_equal(old[name], new[name]) for name in new)


def _equal(old: Any, new: Any) -> bool:
    plain = isinstance(new, int | float | str) and type(old) is type(new)
    return old is new or (plain and old == new)
