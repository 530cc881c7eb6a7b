"""A notebook opens anywhere, and saving it changes nothing."""

from collections import Counter
from collections.abc import Iterator

from companion.course.rules.page import Finding, Page


def kernel(page: Page) -> Iterator[Finding]:
    """The kernel is the one that every installation has."""
    spec = page.notebook.metadata.get("kernelspec")
    if not spec:
        yield page.found(
            None, "kernel", "no kernelspec, so a reader is asked for a kernel; it is python3"
        )
    elif spec.get("name") != "python3":
        yield page.found(
            None, "kernel", f"its kernel is '{spec.get('name')}', of one machine; it is python3"
        )


def ids(page: Page) -> Iterator[Finding]:
    """Each cell has an id of its own; else every program that saves the file invents one."""
    count = Counter(cell.get("id") for _, cell in page.cells())
    seen = set()
    for number, cell in page.cells():
        key = cell.get("id")
        if not key:
            yield page.found(number, "id", "has no id; build the notebook again")
        elif count[key] > 1 and key in seen:
            yield page.found(number, "id", f"has the id of an earlier cell, '{key}'")
        seen.add(key)


RULES = (kernel, ids)
