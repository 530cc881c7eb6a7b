"""A notebook as the rules see it, and what a rule says about it."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from companion.course.project import FRAMEWORKS, Cell, Notebook, parse

EXCUSE = "# wrong on purpose"


class Finding(NamedTuple):
    """One breach of one rule.

    Args:
        path: the notebook.
        cell: its number, from 1; None where it is the whole notebook.
        rule: the rule's short name.
        sentence: what is wrong, and what to do.
    """

    path: Path
    cell: int | None
    rule: str
    sentence: str

    def __str__(self) -> str:
        cell = f" cell {self.cell}" if self.cell else ""
        return f"{self.path.as_posix()}{cell}: {self.sentence} [{self.rule}]"


class Code(NamedTuple):
    """A code cell: its number, itself, and its syntax tree (None where it is not plain Python)."""

    number: int
    cell: Cell
    tree: ast.Module | None


@dataclass(frozen=True)
class Page:
    """A stored notebook.

    Args:
        path: where it lies; the folder says which edition it is.
        size: in bytes.
        notebook: its content, as stored.
    """

    path: Path
    size: int
    notebook: Notebook

    @classmethod
    def load(cls, path: Path) -> "Page":
        """Reads a notebook.

        Raises:
            Unreadable: the file is not a notebook of format 4.
            UnicodeDecodeError: the file is not UTF-8.
        """
        raw = path.read_bytes()
        return cls(path, len(raw), parse(raw.decode("utf-8")))

    @property
    def solved(self) -> bool:
        """Whether it is a solved edition."""
        return self.path.parent.name == "solutions"

    @property
    def framework(self) -> str | None:
        """Whose edition it is, where the folder says so."""
        folder = self.path.parent.parent if self.solved else self.path.parent
        return folder.name if folder.name in FRAMEWORKS else None

    def cells(self, kind: str | None = None) -> Iterator[tuple[int, Cell]]:
        """Numbers from 1 and cells, of one kind or of all."""
        for number, cell in enumerate(self.notebook.cells, start=1):
            if kind is None or cell.cell_type == kind:
                yield number, cell

    def code(self) -> list[Code]:
        """The code cells with their syntax trees."""
        return [Code(number, cell, _tree(cell.source)) for number, cell in self.cells("code")]

    def found(self, cell: int | None, rule: str, sentence: str) -> Finding:
        """A finding about this notebook."""
        return Finding(self.path, cell, rule, sentence)


Rule = Callable[[Page], Iterator[Finding]]


def excused(cell: Cell, node: ast.AST) -> bool:
    """Whether a line of the statement says that it is wrong on purpose, as a lesson may be."""
    first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", 1)
    return any(EXCUSE in line for line in cell.source.splitlines()[first - 1 : last])


def lines_of(cell: Cell) -> int:
    """The lines of a cell that are not blank."""
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def _tree(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except SyntaxError:
        return None
