"""A chapter has its parts, and each figure a sentence that reads it."""

import ast
import re
from collections.abc import Iterator

from companion.course.project import tags
from companion.course.rules.page import Finding, Page


def opening(page: Page) -> Iterator[Finding]:
    """The first cell is a title with the question of the chapter."""
    first = next(iter(page.notebook.cells), None)
    text = first.source if first is not None and first.cell_type == "markdown" else ""
    if not text.startswith("# ") or "question" not in text.lower():
        yield page.found(
            1, "title", "the first cell is not a title ('# ...') with the chapter's 'Question'"
        )


def summary(page: Page) -> Iterator[Finding]:
    """There is a summary."""
    heading = re.compile(r"^#+ .*summary", re.IGNORECASE | re.MULTILINE)
    if not any(heading.search(cell.source) for _, cell in page.cells("markdown")):
        yield page.found(None, "summary", "there is no heading 'Summary'")


def calls(page: Page) -> Iterator[Finding]:
    """There are an exercise that is checked, a recorded result, and a compared output."""
    called = {
        node.func.id
        for code in page.code()
        for node in ast.walk(code.tree or ast.Module([], []))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    if "check" not in called:
        yield page.found(None, "check", "no exercise is checked: there is no call of check(...)")
    if "record" not in called:
        yield page.found(None, "record", "no result is kept: there is no call of record(...)")
    if not any("nbval-check-output" in tags(cell) for _, cell in page.cells("code")):
        yield page.found(
            None,
            "compared",
            "no cell is tagged 'nbval-check-output', so the tests compare no output",
        )


def figures(page: Page) -> Iterator[Finding]:
    """A markdown cell follows each cell that shows a figure."""
    cells = list(page.notebook.cells)
    for number, cell in page.cells("code"):
        kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
        after = cells[number] if number < len(cells) else None
        if any(kind.startswith("image/") for kind in kinds) and (
            after is None or after.cell_type != "markdown"
        ):
            yield page.found(
                number, "figure", "no markdown cell follows this figure to say what it shows"
            )


RULES = (opening, summary, calls)
EVERYWHERE = (figures,)
