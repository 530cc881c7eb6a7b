"""Small questions about the cells of a notebook: tags, numbers, section headings."""

import re
from typing import Any

LESSON = "lesson"
FENCE = re.compile(r"^\s*(```|~~~)")
HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")


def tags(cell: Any) -> list[str]:
    """The tags of a cell, an empty list where it has none."""
    return list(cell.get("metadata", {}).get("tags") or [])


def own(cell: Any) -> dict[str, Any]:
    """What the report keeps about a cell in the cell's own metadata: its number, its fold."""
    kept: dict[str, Any] = cell.setdefault("metadata", {}).setdefault("companion", {})
    return kept


def number_cells(notebook: Any) -> None:
    """Write each cell's number (counted from 1, text cells included) into its metadata.

    Cells are dropped and added before a run; the number still names the cell of the chapter
    that a reader would look up.
    """
    for number, cell in enumerate(notebook["cells"], start=1):
        own(cell)["cell"] = number


def drop_lessons(notebook: Any) -> None:
    """Take out the cells tagged `lesson`: exercises and recall questions are not for a report."""
    notebook["cells"] = [cell for cell in notebook["cells"] if LESSON not in tags(cell)]


def headings(markdown: str) -> list[tuple[int, str]]:
    """The headings of a text cell as (level, plain words); code fences are left alone."""
    found, fenced = [], False
    for line in markdown.splitlines():
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced and (match := HEADING.match(line)):
            found.append((len(match[1]), plain_words(match[2])))
    return found


def plain_words(markdown: str) -> str:
    """A heading without its marks: no stars, backticks or link targets."""
    without_links = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return re.sub(r"[*`]|(?<!\w)_|_(?!\w)", "", without_links).strip()


def places(notebook: Any) -> list[dict[str, Any]]:
    """For each cell its number in the chapter and the heading it stands under."""
    numbers = [
        cell.get("metadata", {}).get("companion", {}).get("cell") for cell in notebook["cells"]
    ]
    result, section, number = [], "", 1
    for index, cell in enumerate(notebook["cells"]):
        # A cell that papermill injected has no number of its own: it belongs to the one above.
        number = (numbers[index] or number) if any(numbers) else index + 1
        if cell["cell_type"] == "markdown" and (found := headings(cell["source"])):
            section = found[-1][1]
        result.append({"cell": number, "section": section})
    return result


def where(notebook: Any, index: int) -> str:
    """Name a cell for a reader: its number, and its section where it has one."""
    place = places(notebook)[index]
    section = f" (section “{place['section']}”)" if place["section"] else ""
    return f"cell {place['cell']}{section}"


def title(notebook: Any) -> str:
    """The first heading of the notebook, or an empty text."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and (found := headings(cell["source"])):
            return found[0][1]
    return ""
