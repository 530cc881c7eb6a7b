"""What a stored notebook is: as built, edited, executed, and against which code.

The notebook itself remembers, in its metadata under "companion":

    inputs        hash of its cells and metadata, written by the build
    outputs       hash of its outputs, written by the execution; so are the two below
    fingerprint   of the code that it imports
    seconds       how long it ran
"""

import hashlib
import json
from enum import Enum
from pathlib import Path

from companion.course.chapter import cell_id
from companion.course.project import Notebook, Unreadable, parse, read

KEY = "companion"


class State(Enum):
    """What to say about a notebook. An empty sentence means that all is well."""

    MISSING = "is missing"
    UNREADABLE = "is not a readable notebook"
    EDITED = "was edited by hand"
    STALE = "is stale: its source changed"
    OUTPUTS_EDITED = "has outputs that were edited, or stored by another program"
    NOT_EXECUTED = "was never executed"
    OTHER_CODE = "was executed against other code"
    GOOD = ""


NEED_BUILD = {
    State.MISSING,
    State.UNREADABLE,
    State.EDITED,
    State.STALE,
    State.OUTPUTS_EDITED,
}
NEED_EXECUTION = {State.NOT_EXECUTED, State.OTHER_CODE}


def state_of(path: Path, built: Notebook, fingerprint: str) -> State:
    """Compares the stored notebook with the one that the source gives now.

    Args:
        path: the stored notebook.
        built: what the source gives, without outputs.
        fingerprint: of the code that the notebook imports, as it is now.
    """
    if not path.exists():
        return State.MISSING
    try:
        stored = read(path)
    except (Unreadable, UnicodeDecodeError):
        return State.UNREADABLE
    memory = stored.metadata.get(KEY, {})
    if memory.get("inputs") != inputs_hash(stored):
        return State.EDITED
    if memory["inputs"] != inputs_hash(built):
        return State.STALE
    if "fingerprint" not in memory:
        return State.NOT_EXECUTED
    if memory.get("outputs") != outputs_hash(stored):
        return State.OUTPUTS_EDITED
    return State.GOOD if memory["fingerprint"] == fingerprint else State.OTHER_CODE


def sealed(built: Notebook) -> Notebook:
    """The built notebook, with the hash that later shows whether somebody edited it."""
    built.metadata[KEY] = {"inputs": inputs_hash(built)}
    return built


def inputs_hash(notebook: Notebook) -> str:
    """A hash of all but the outputs."""
    cells = [
        [cell.cell_type, cell.get("id"), cell.source, cell.metadata] for cell in notebook.cells
    ]
    others = {key: value for key, value in notebook.metadata.items() if key != KEY}
    return _hash([cells, others])


def outputs_hash(notebook: Notebook) -> str:
    """A hash of the outputs and the order of execution, as they are when stored."""
    cells = parse(json.dumps(notebook)).cells
    return _hash([[cell.get("outputs"), cell.get("execution_count")] for cell in cells])


def edited_cell(path: Path) -> int | None:
    """The number of the first cell, from 1, whose id does not fit its text."""
    seen: set[str] = set()
    for number, cell in enumerate(read(path).cells, start=1):
        if cell.get("id") != cell_id(cell, seen):
            return number
    return None


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
