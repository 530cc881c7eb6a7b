"""Runs a notebook's cells in a kernel of its own, and says in a sentence what went wrong."""

import logging
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from companion.course.project import Cell, Notebook
from companion.course.tidy import ANSI

# Python's own filters: a NaN in our code must not pass as a line that nobody reads.
STRICT = (
    "import warnings; "
    "[warnings.filterwarnings('error', category=kind, module=r'__main__|{package}(\\.|$)') "
    "for kind in (RuntimeWarning, FutureWarning)]"
)


class Failure(RuntimeError):
    """A notebook that did not run to its end. The message names the cell."""


@dataclass(frozen=True)
class Limits:
    """How long a notebook may run.

    Args:
        cell: seconds for each cell.
        notebook: seconds for the whole, since many cells within their limit still add up.
    """

    cell: float = 120.0
    notebook: float = 240.0


class _Clock:
    """Knows which cell runs, how long it may, and where it failed."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.start = monotonic()
        self.number = 0
        self.frames: list[str] = []

    def begin(self, cell: Cell, cell_index: int) -> None:
        self.number = cell_index + 1

    def fail(self, cell: Cell, cell_index: int, execute_reply: Any) -> None:
        self.frames = execute_reply["content"].get("traceback", [])

    @property
    def left(self) -> float:
        return self.limits.notebook - (monotonic() - self.start)

    def timeout(self, cell: Cell | None) -> float:
        # Zero would mean "no limit" to nbclient.
        return max(0.05, min(self.limits.cell, self.left))

    def why(self) -> str:
        if self.left <= 0.05:
            return f"was running when the notebook's {self.limits.notebook:g} s were over"
        return f"took more than {self.limits.cell:g} s"


def run(notebook: Notebook, folder: Path, package: str, limits: Limits) -> None:
    """Executes all cells in place.

    Args:
        notebook: the notebook; its outputs are replaced.
        folder: where the kernel runs.
        package: the package whose own warnings are errors.
        limits: for a cell and for the whole.

    Raises:
        Failure: a cell raised, took too long or ended the kernel, or no kernel started.
    """
    clock = _Clock(limits)
    client = _client(notebook, folder, package, clock)
    try:
        client.execute()
    except CellExecutionError as error:
        raise Failure(f"cell {clock.number} failed: {_told(error, clock.frames)}") from error
    except CellTimeoutError as error:
        raise Failure(f"cell {clock.number} {clock.why()}") from error
    except DeadKernelError as error:
        raise Failure(
            f"cell {clock.number} ended the kernel; it may have run out of memory"
        ) from error
    except RuntimeError as error:
        raise Failure(f"could not start its kernel: {error}") from error
    if clock.left <= 0:
        raise Failure(f"took more than {limits.notebook:g} s; its last cell is {clock.number}")


def _client(notebook: Notebook, folder: Path, package: str, clock: _Clock) -> Any:
    quiet = logging.getLogger(f"{__name__}.nbclient")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False  # what it logs is told once, by Failure
    return NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=[
            f"--IPKernelApp.exec_lines={STRICT.format(package=package)}",
            "--IPKernelApp.log_level=40",  # errors only: it warns of its own TCP at each start
        ],
        timeout_func=clock.timeout,
        on_cell_execute=clock.begin,
        on_cell_error=clock.fail,
        coalesce_streams=True,
        shutdown_kernel="immediate",
        log=quiet,
    )


def _told(error: CellExecutionError, frames: list[str]) -> str:
    """The error in one line, then the frames, for the author."""
    lines = ANSI.sub("", "\n".join(frames)).rstrip().splitlines()
    return "\n    ".join([f"{error.ename}: {error.evalue}", *lines])
