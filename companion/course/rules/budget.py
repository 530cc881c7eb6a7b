"""A chapter stays short enough to be read, stored and run in one sitting."""

import ast
import re
from collections.abc import Iterator

from companion.course.project import tags
from companion.course.rules.page import Code, Finding, Page, lines_of
from companion.course.state import KEY

CELLS = range(25, 46)
WORDS = 1_800
LINES = 160
CELL_LINES = 30
PARAMETER_LINES = 8
BYTES = 150_000
SECONDS = 40


def size(page: Page) -> Iterator[Finding]:
    """Cells, words, lines of code, bytes and seconds."""
    cells = len(page.notebook.cells)
    if cells not in CELLS:
        yield page.found(None, "cells", f"{cells} cells; a chapter has {CELLS[0]} to {CELLS[-1]}")
    words = sum(count_words(cell.source) for _, cell in page.cells("markdown"))
    if words > WORDS:
        yield page.found(None, "words", f"{words} words; at most {WORDS}")
    lines = sum(lines_of(cell) for _, cell in page.cells("code"))
    if lines > LINES:
        yield page.found(None, "lines", f"{lines} lines of code; at most {LINES}")
    for number, cell in page.cells("code"):
        if lines_of(cell) > CELL_LINES:
            yield page.found(
                number,
                "cell-lines",
                f"{lines_of(cell)} lines; a code cell has at most {CELL_LINES}",
            )
    if page.size > BYTES:
        yield page.found(
            None, "bytes", f"{page.size / 1000:.0f} KB stored; at most {BYTES // 1000} KB"
        )


def seconds(page: Page) -> Iterator[Finding]:
    """The time of the stored run."""
    taken = page.notebook.metadata.get(KEY, {}).get("seconds")
    if taken is None:
        yield page.found(None, "seconds", "was never executed; run 'make notebooks'")
    elif taken > SECONDS:
        yield page.found(None, "seconds", f"ran for {taken} s; at most {SECONDS} s")


def parameters(page: Page) -> Iterator[Finding]:
    """One cell that a report can override: without the tag, a given value changes nothing."""
    tagged = [(number, cell) for number, cell in page.cells("code") if "parameters" in tags(cell)]
    if len(tagged) != 1:
        yield page.found(
            None,
            "parameters",
            f"{len(tagged)} cells are tagged 'parameters'; a chapter has one, so that a report can"
            " give other values",
        )
    for number, cell in tagged:
        if lines_of(cell) > PARAMETER_LINES:
            yield page.found(
                number,
                "parameters",
                f"{lines_of(cell)} lines of parameters; at most {PARAMETER_LINES}",
            )


def prose(page: Page) -> Iterator[Finding]:
    """A sentence stands between two code cells, but for those that set up."""
    code = {item.number: item for item in page.code()}
    for number, item in code.items():
        before = code.get(number - 1)
        if before is not None and not sets_up(before) and not sets_up(item):
            yield page.found(
                number, "prose", "a code cell right after a code cell; put a sentence between them"
            )


def sets_up(code: Code) -> bool:
    """Whether a cell holds parameters, or begins with imports and is at least half imports."""
    if "parameters" in tags(code.cell):
        return True
    body = code.tree.body if code.tree else []
    imports = [isinstance(node, ast.Import | ast.ImportFrom) for node in body]
    return bool(imports) and imports[0] and 2 * sum(imports) >= len(imports)


def count_words(markdown: str) -> int:
    """Runs of characters with a letter or a digit, once HTML's tags are gone."""
    text = re.sub(r"</?[A-Za-z][^<>]*>", " ", markdown)
    return sum(any(letter.isalnum() for letter in word) for word in text.split())


RULES = (size, seconds, parameters, prose)
