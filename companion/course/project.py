"""Where the chapters and their notebooks lie, and how a notebook is read and written."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from companion.core.paths import ROOT

FRAMEWORKS = ("pytorch", "tensorflow")
Notebook = Any  # nbformat's NotebookNode, a dictionary whose keys are attributes too
Cell = Any


class Unreadable(ValueError):
    """A file that is not a notebook of format 4."""


@dataclass(frozen=True)
class Edition:
    """One notebook of a chapter: its source, for whom it is, and where it is written."""

    source: Path
    framework: str
    solved: bool
    target: Path


@dataclass(frozen=True)
class Project:
    """A folder with `notebooks/` and a Python package.

    Args:
        root: the folder.
        package: the name of the package whose code the notebooks show and import.
    """

    root: Path = ROOT
    package: str = "companion"

    @property
    def notebooks(self) -> Path:
        """The folder of the course."""
        return self.root / "notebooks"

    def chapters(self) -> list[Path]:
        """The sources, in the course's order."""
        return sorted((self.notebooks / "src").glob("[0-9][0-9]_*.py"))

    def misnamed(self) -> list[Path]:
        """Sources that no notebook is built from, because of their name."""
        return sorted(set((self.notebooks / "src").glob("*.py")) - set(self.chapters()))

    def editions(self) -> list[Edition]:
        """Every notebook that should be there: four for each chapter."""
        return [
            Edition(source, framework, solved, folder / f"{source.stem}.ipynb")
            for source in self.chapters()
            for framework in FRAMEWORKS
            for solved, folder in (
                (False, self.notebooks / framework),
                (True, self.notebooks / framework / "solutions"),
            )
        ]

    def stored(self) -> list[Path]:
        """Every notebook that is there, with a source or without."""
        return sorted(
            path
            for framework in FRAMEWORKS
            for path in (self.notebooks / framework).rglob("*.ipynb")
            if ".ipynb_checkpoints" not in path.parts
        )

    def name(self, path: Path) -> str:
        """The path as a reader of the repository writes it."""
        return path.relative_to(self.root).as_posix() if self.contains(path) else path.as_posix()

    def contains(self, path: Path) -> bool:
        """Whether the path lies below the root."""
        return path.is_relative_to(self.root)


def parse(text: str) -> Notebook:
    """The notebook in a text, exactly as stored: no id is invented and nothing is repaired.

    Raises:
        Unreadable: the text is not JSON, or not a notebook of format 4.
    """
    try:
        notebook = nbformat.v4.reads(text)  # type: ignore[no-untyped-call]
        readable = notebook.nbformat == 4 and all(map(_whole, notebook.cells))
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise Unreadable(f"not a notebook ({type(error).__name__})") from error
    if not readable:
        raise Unreadable("not a notebook of format 4")
    return notebook


def _whole(cell: Cell) -> bool:
    code = isinstance(cell.outputs, list) if cell.cell_type == "code" else True
    return code and isinstance(cell.source, str) and isinstance(cell.metadata, dict)


def read(path: Path) -> Notebook:
    """The notebook in a file. Always UTF-8, whatever the platform prefers.

    Raises:
        Unreadable: see `parse`.
        FileNotFoundError: there is no such file.
    """
    return parse(path.read_text(encoding="utf-8"))


def write(path: Path, notebook: Notebook) -> None:
    """Writes a notebook whole or not at all, with the same bytes on every platform.

    Raises:
        nbformat.ValidationError: the notebook is not valid; the old file stays as it was.
    """
    nbformat.validate(notebook)
    text = nbformat.writes(notebook) + "\n"  # type: ignore[no-untyped-call]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.part")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def tags(cell: Cell) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", []))


def speak_any_alphabet() -> None:
    """Lets `print` replace what the terminal's alphabet lacks, rather than fail on it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
