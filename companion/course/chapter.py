"""Turns a chapter's source into one of its notebooks.

A source is a Python script in jupytext's percent format. A cell without a tag goes into every
edition. The tags that choose:

    pytorch, tensorflow   this framework's editions alone
    solution              the solved editions alone
    include               lines such as "# companion.{framework}.dqn: td_loss" become the source
                          of what they name, so that the code on the page is the code under test

In a code cell, all that stands below a line "# solution" is left out of the unsolved editions, down
to the first line that is indented less.
A source is plain Python: no magics. A comment such as "# copy the weights" would else become a
shell command.
"""

import ast
import hashlib
from pathlib import Path

import jupytext
import nbformat

from companion.course.include import IncludeError, included
from companion.course.project import FRAMEWORKS, Cell, Edition, Notebook, tags

PERCENT = {"extension": ".py", "format_name": "percent", "comment_magics": False}
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
CHOOSING = {*FRAMEWORKS, "solution", "include"}
KEPT = {
    "lesson",  # left out of a report
    "hide",  # folded in a report
    "parameters",
    "raises-exception",
    "skip-execution",
    "nbval-check-output",
    "nbval-ignore-output",
    "nbval-raises-exception",
    "nbval-skip",
}


class BuildError(ValueError):
    """A chapter that cannot be built; the message names the chapter and the cell."""


def build_notebook(edition: Edition, root: Path) -> Notebook:
    """One edition of a chapter, without outputs.

    Args:
        edition: which one.
        root: the folder that holds the package, for `include`.

    Raises:
        BuildError: an unknown tag, a reference to nothing, or code that is not Python.
    """
    metadata = {"kernelspec": dict(KERNEL), "language_info": {"name": "python"}}
    notebook = nbformat.v4.new_notebook(metadata=metadata)  # type: ignore[no-untyped-call]
    text = edition.source.read_text(encoding="utf-8")
    seen: set[str] = set()
    for number, cell in enumerate(jupytext.reads(text, fmt=PERCENT).cells, start=1):
        try:
            built = _cell(cell, edition, root)
        except (IncludeError, SyntaxError, BuildError) as error:
            raise BuildError(f"{edition.source.name} cell {number}: {error}") from error
        if built is not None:
            built.id = cell_id(built, seen)
            notebook.cells.append(built)
    return notebook


def _cell(cell: Cell, edition: Edition, root: Path) -> Cell | None:
    """The cell as this edition shows it, or None where it does not."""
    chosen = tags(cell)
    unknown = chosen - CHOOSING - KEPT
    if unknown:
        known = ", ".join(sorted(CHOOSING | KEPT))
        raise BuildError(f"unknown tag '{min(unknown)}'; known are {known}")
    if chosen & set(FRAMEWORKS) and edition.framework not in chosen:
        return None
    if "solution" in chosen and not edition.solved:
        return None
    text = cell.source
    if "include" in chosen:
        text = included(text, edition.framework, root)
    if cell.cell_type == "code":
        text = text if edition.solved else blank_solution(text)
        ast.parse(text)
    kept = sorted(chosen & KEPT)
    new = getattr(nbformat.v4, f"new_{cell.cell_type}_cell")
    return new(text, metadata={"tags": kept} if kept else {})


def blank_solution(text: str) -> str:
    """Replaces all below a line "# solution" by a stub.

    In a function the stub is `...`, since a body must not be empty.
    """
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.strip() == "# solution":
            indent = line[: line.index("#")]
            stub = [f"{indent}# Write your code here."] + ([f"{indent}..."] if indent else [])
            return "\n".join(lines[:number] + stub + _after(lines[number:], indent))
    return text


def _after(lines: list[str], indent: str) -> list[str]:
    """The lines after a solution: those from the first that is indented less."""
    for number, line in enumerate(lines):
        if indent and line.strip() and not line.startswith(indent):
            blank = [""] * sum(not above.strip() for above in lines[number - 2 : number])
            return [*blank, *lines[number:]]
    return []


def cell_id(cell: Cell, seen: set[str]) -> str:
    """An id that depends on the cell's text alone, so that a change moves no other id.

    Args:
        cell: the cell.
        seen: the ids of the cells before it; the new one is added.
    """
    repeat = 0
    while (key := _digest(f"{repeat}\n{cell.cell_type}\n{cell.source}")) in seen:
        repeat += 1
    seen.add(key)
    return key


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
