"""Fetches the source of a name from the package, without importing it."""

import ast
import re
import textwrap
from pathlib import Path

REFERENCE = re.compile(r"#\s*([A-Za-z_][\w.{}]*)\s*:\s*([A-Za-z_][\w.]*)\s*")


class IncludeError(LookupError):
    """A reference to a module or a name that is not there."""


def included(text: str, framework: str, root: Path) -> str:
    """The text of an `include` cell, each line replaced by the source that it names.

    Args:
        text: lines such as "# companion.{framework}.dqn: td_loss".
        framework: what stands for "{framework}".
        root: the folder that holds the package.

    Raises:
        IncludeError: a line is no reference, or what it names is not there.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise IncludeError("an include cell needs a line such as '# companion.core.seeding: name'")
    sources = []
    for line in lines:
        match = REFERENCE.fullmatch(line)
        if match is None:
            raise IncludeError(f"'{line}' is not of the form '# package.module: name'")
        module, name = match.groups()
        sources.append(source_of(module.replace("{framework}", framework), name, root))
    return "\n\n\n".join(sources)


def source_of(module: str, name: str, root: Path) -> str:
    """The source of a function, class, method ("Class.method") or constant of a module.

    Decorators belong to it; comments above it do not.

    Raises:
        IncludeError: there is no such module or no such name in it.
    """
    path = module_file(module, root)
    if path is None:
        raise IncludeError(f"there is no module {module}")
    code = path.read_text(encoding="utf-8")
    node: ast.AST = ast.parse(code)
    for part in name.split("."):
        found = _find(node, part)
        if found is None:
            raise IncludeError(f"{module} has no '{name}'")
        node = found
    return _lines(code, node)


def module_file(module: str, root: Path) -> Path | None:
    """The file of a module or of a package's `__init__`, or None."""
    stem = root.joinpath(*module.split("."))
    candidates = (stem.with_name(f"{stem.name}.py"), stem / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _find(parent: ast.AST, name: str) -> ast.stmt | None:
    """The statement that defines the name last, since that is the one that counts."""
    found = None
    for node in getattr(parent, "body", []):
        names = [getattr(node, "name", None)]
        if isinstance(node, ast.Assign):
            names = [getattr(target, "id", None) for target in node.targets]
        elif isinstance(node, ast.AnnAssign):
            names = [getattr(node.target, "id", None)]
        if name in names:
            found = node
    return found


def _lines(code: str, node: ast.AST) -> str:
    """The lines of a statement, from its first decorator on, at no indentation."""
    assert isinstance(node, ast.stmt)
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return textwrap.dedent("\n".join(code.splitlines()[first - 1 : node.end_lineno]))
