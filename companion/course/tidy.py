"""Makes a notebook that has just run fit to be stored: the same run, the same bytes."""

import re
from typing import Any

from companion.course.project import Cell, Notebook

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def tidy(executed: Notebook, built: Notebook) -> list[str]:
    """Removes in place what differs from run to run, and returns what was on stderr.

    Metadata goes back to what was built. Counts become 1, 2, 3. What a cell wrote to stderr
    (progress bars, a library's warnings) is not stored, since it depends on the machine.

    Args:
        executed: the notebook that ran.
        built: the same notebook before it ran.

    Returns:
        A line for each cell that wrote to stderr.
    """
    executed.metadata = built.metadata
    notes = []
    count = 0
    for number, (cell, before) in enumerate(zip(executed.cells, built.cells, strict=True), 1):
        cell.metadata = before.metadata
        if cell.cell_type != "code":
            continue
        errors = "".join(o.text for o in cell.outputs if _is_stderr(o)).strip()
        if errors:
            notes.append(f"cell {number} wrote to stderr: {ANSI.sub('', errors).splitlines()[0]}")
        if cell.execution_count is not None:
            count += 1
            cell.execution_count = count
        cell.outputs = [_tidy_output(o, cell) for o in cell.outputs if not _is_stderr(o)]
    return notes


def _is_stderr(output: Any) -> bool:
    return output.output_type == "stream" and bool(output.name == "stderr")


def _tidy_output(output: Any, cell: Cell) -> Any:
    if output.output_type == "execute_result":
        output.execution_count = cell.execution_count
    if output.output_type == "error":
        # Frames outside the notebook name files of this machine.
        frames = [ANSI.sub("", frame) for frame in output.traceback]
        output.traceback = [frame for frame in frames if not frame.startswith("File ")]
    if "metadata" in output:
        output.metadata = {key: value for key, value in output.metadata.items() if "/" in key}
    return output
