"""A fingerprint of the code that a notebook imports, directly or through other modules.

Comments and docstrings do not count, so that a reworded sentence forces no new run. Neither does
the Python version: the fingerprint is made of names and values, not of bytecode.
"""

import ast
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import grimp

from companion.course.include import module_file
from companion.course.project import FRAMEWORKS, Notebook, Project


@dataclass(frozen=True)
class Owner:
    """Whose fingerprint it is.

    Args:
        framework: the other framework's modules never count.
        chapter: the two digits of its chapter; their checkers of exercises count.
    """

    framework: str
    chapter: str


class Fingerprints:
    """Fingerprints of notebooks, for the package as it is now.

    Reads each module once; make a new one after the code changed.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._graph = grimp.build_graph(
            project.package, exclude_type_checking_imports=True, cache_dir=None
        )
        self._module = cache(self._read_module)

    def of(self, notebook: Notebook, owner: Owner) -> str:
        """The fingerprint for one notebook."""
        digest = hashlib.sha256()
        for name in sorted(self.modules(notebook, owner)):
            digest.update(f"{name}\n{self._module(name)}\n".encode())
        return digest.hexdigest()[:16]

    def modules(self, notebook: Notebook, owner: Owner) -> set[str]:
        """The modules of the package that run when the notebook does.

        A checker of exercises is loaded by its chapter's number, which no import shows; it counts
        as soon as the notebook imports `course`.
        """
        package = self._project.package
        twins = tuple(f"{package}.{other}" for other in FRAMEWORKS if other != owner.framework)
        found: set[str] = set()
        waiting = self._with_parents(imported_names(notebook))
        while waiting:
            name = waiting.pop()
            if name in found or any(name == twin or name.startswith(twin + ".") for twin in twins):
                continue
            found.add(name)
            waiting |= self._with_parents(self._graph.find_modules_directly_imported_by(name))
            if name == f"{package}.course.answers":
                checkers = f"{package}.course.exercises.ch{owner.chapter}"
                waiting |= self._with_parents({checkers})
        return found

    def _with_parents(self, names: set[str]) -> set[str]:
        """The modules among the names, and the packages around them, whose `__init__` runs too."""
        parts = [name.split(".") for name in names]
        prefixes = {".".join(part[:end]) for part in parts for end in range(1, len(part) + 1)}
        return prefixes & self._graph.modules

    def _read_module(self, name: str) -> str:
        path = module_file(name, self._project.root)
        if path is None:  # a folder without `__init__.py` has no code
            return ""
        return code_fingerprint(path)


def imported_names(notebook: Notebook) -> set[str]:
    """Every dotted name that an import in the notebook may mean.

    `from a.b import c` may mean the module `a.b.c` or a name in `a.b`; both are given.
    """
    names: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def code_fingerprint(path: Path) -> str:
    """A hash of what a module's code says, without docstrings, comments and layout."""
    text = _canonical(ast.parse(path.read_text(encoding="utf-8")))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _canonical(node: object) -> str:
    """A text of a syntax tree that is the same on every Python version.

    `ast.dump` is not: each version adds fields. Empty fields are left out here.
    """
    if isinstance(node, list):
        return "[" + ",".join(_canonical(item) for item in node if not _is_docstring(item)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.JoinedStr):  # Python 3.12.1 puts empty strings into nested formats
        node.values = [part for part in node.values if getattr(part, "value", None) != ""]
    fields = [(name, _canonical(value)) for name, value in ast.iter_fields(node)]
    inner = ",".join(f"{name}={text}" for name, text in fields if text not in ("None", "[]"))
    return f"{type(node).__name__}({inner})"


def _is_docstring(node: object) -> bool:
    """Whether the node is a string that stands alone as a statement."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
