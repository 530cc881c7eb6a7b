"""Stored outputs are the same on every machine, and say nothing about the one they come from."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from companion.core.paths import ROOT
from companion.course.project import tags
from companion.course.rules.page import Finding, Page

HERE = "|".join(
    re.escape(path) for path in (str(ROOT), str(Path.home()), sys.prefix) if path != "/"
)
TOP = "Applications|Library|Users|Volumes|etc|home|media|mnt|opt|private|root|srv|tmp|usr|var"
BAR = (
    r"\d+%\|"  # tqdm
    r"|\[\d+:\d\d<"  # tqdm without a total percentage
    r"|\d(?:it|s|ms|us)/(?:s|it|step)\b"
    r"|━{4}"  # keras
    r"|\r(?!\n)"
)
PATTERNS = {
    "bar": (re.compile(BAR), "a progress bar; switch it off in the notebook"),
    "address": (re.compile(r"\bat 0x[0-9a-fA-F]{4,}|\b0x[0-9a-fA-F]{9,}"), "a memory address"),
    "ansi": (re.compile(r"\x1b\["), "colours for a terminal (ANSI)"),
    "path": (
        re.compile(
            rf"(?<![\w.:/<~-])/(?:{TOP})/\w|(?<!\w)~/\w|\b[A-Za-z]:\\\w|(?:{HERE})(?![\w.-])"
        ),
        "an absolute path",
    ),
}
WIDGET = "application/vnd.jupyter.widget-view+json"
LONG = re.compile(r"\d\.\d{9,}")


def noise(page: Page) -> Iterator[Finding]:
    """No stderr, progress bar, address, path or terminal colour."""
    for number, cell in page.cells("code"):
        for output in cell.outputs:
            text = text_of(output)
            if output.output_type == "stream" and output.name == "stderr":
                first = (text.strip().splitlines() or [""])[0]
                yield page.found(number, "stderr", f"a stored output on stderr: {first}")
            if WIDGET in output.get("data", {}):
                yield page.found(number, "bar", "a widget, which shows nothing once it is stored")
            for rule, (pattern, what) in PATTERNS.items():
                match = pattern.search(text)
                if match:
                    yield page.found(
                        number, rule, f"its output shows {what}: {match.group().strip()!r}"
                    )


def compared(page: Page) -> Iterator[Finding]:
    """An output that the tests compare is there, and has no more digits than machines share."""
    executed = any(cell.execution_count for _, cell in page.cells("code"))
    for number, cell in page.cells("code"):
        if "nbval-check-output" not in tags(cell):
            continue
        if executed and not cell.outputs:
            yield page.found(
                number, "compared", "tagged 'nbval-check-output', but it has no output to compare"
            )
        match = LONG.search("".join(text_of(output) for output in cell.outputs))
        if match:
            yield page.found(
                number, "digits", f"{match.group()} is compared to its last digit; round it"
            )


def text_of(output: Any) -> str:
    """All that an output says in words."""
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return "\n".join([str(output.evalue), *output.traceback])
    texts = [v for kind, v in output.data.items() if kind.startswith("text/")]
    return "\n".join(str(text) for text in texts)


RULES = (noise, compared)
