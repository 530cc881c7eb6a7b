"""Running a notebook under limits, and saying in one sentence why it stopped."""

import logging
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import ERROR_MARKER_TAG

from companion.reports.cells import places, tags, where
from companion.reports.errors import ReportError
from companion.reports.plan import Limits

ENGINE = "companion"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# The reader gets one sentence of ours; the libraries' own lines would stand beside it.
logging.getLogger("papermill").addHandler(logging.NullHandler())


class Watch:
    """Follows one run: the notebook as it fills, the cell that is on, the time that is left."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.notebook: Any = None
        self.bar: Any = None
        self.current: int | None = None
        self.started = datetime.now(UTC)
        self._clock = time.monotonic()
        self._budget_is_tighter = False

    @property
    def seconds(self) -> float:
        """Wall time since the start."""
        return time.monotonic() - self._clock

    def start_cell(self, cell: Any, cell_index: int) -> None:
        """Note which cell starts; raise ReportError when the notebook's budget is spent."""
        self.current = cell_index
        if cell["cell_type"] == "code" and self.seconds >= self.limits.notebook_seconds:
            raise ReportError(self.over_time(budget=True))
        if self.bar is not None:
            section = places(self.notebook)[cell_index]["section"] or "Running"
            self.bar.set_description(f"{section[:28]:28}", refresh=False)

    def allowed(self, cell: Any) -> float:
        """Seconds that this cell may take: its own limit, or what is left of the budget."""
        left = self.limits.notebook_seconds - self.seconds
        self._budget_is_tighter = left < self.limits.cell_seconds
        return max(0.1, min(self.limits.cell_seconds, left))  # 0 would mean: without limit

    def mark_stopped(self) -> None:
        """Say in the notebook which cell failed and which never ran; papermill says 'completed'."""
        for index, cell in enumerate(self.notebook["cells"]):
            if self.current is None or index >= self.current:
                status = "failed" if index == self.current else "pending"
                cell["metadata"].setdefault("papermill", {})["status"] = status

    def over_time(self, *, budget: bool | None = None) -> str:
        """The sentence for a run that took too long."""
        cell = where(self.notebook, self.current or 0)
        if self._budget_is_tighter if budget is None else budget:
            return (
                f"The notebook took longer than its {self.limits.notebook_seconds:g} s and was "
                f"stopped at {cell}: raise limits.notebook_seconds in the profile, or do less."
            )
        return (
            f"{_start(cell)} took longer than the {self.limits.cell_seconds:g} s that a cell "
            "may take and was stopped: raise limits.cell_seconds in the profile, or do less."
        )


class WatchedEngine(NBClientEngine):  # type: ignore[misc]
    """papermill's engine, with the limits of a `Watch`."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, watch: Watch, **unused: Any
    ) -> None:
        """Run the cells; the notebook stays in reach of `watch` however the run ends."""
        watch.notebook, watch.bar = nb_man.nb, nb_man.pbar
        client = PapermillNotebookClient(
            nb_man,
            kernel_name=kernel_name,
            log=logging.getLogger("papermill"),
            startup_timeout=120,
            timeout_func=watch.allowed,
            on_cell_start=watch.start_cell,
            # A cell in an endless loop does not hear a polite request.
            shutdown_kernel="immediate",
            extra_arguments=["--log-level=ERROR"],
        )
        # UTF-8 inside the kernel too, so that paths and files read the same in every locale.
        client.execute(env={**os.environ, "PYTHONUTF8": "1"})


papermill_engines.register(ENGINE, WatchedEngine)


def execute(
    notebook: Any, parameters: dict[str, Any], watch: Watch, *, folder: Path, progress: bool = True
) -> None:
    """Run a notebook in `folder`; what came of it is `watch.notebook`.

    Raises ReportError for an exception in a cell, a dead kernel, a cell or notebook over its time.
    """
    settings: dict[str, Any] = {
        "engine_name": ENGINE,
        "kernel_name": "python3",
        "language": "python",
    }
    settings |= {"progress_bar": progress, "cwd": str(folder), "watch": watch}
    try:
        papermill.execute_notebook(notebook, None, parameters=parameters, **settings)
    except PapermillExecutionError:
        pass  # named below, and with an eye to cells that are meant to fail
    except CellTimeoutError as error:
        raise ReportError(watch.over_time()) from error
    except DeadKernelError as error:
        cell = where(watch.notebook, watch.current or 0)
        raise ReportError(
            f"The kernel died in {cell}: it may have run out of memory; close other programs, "
            "or take a smaller profile."
        ) from error
    except RuntimeError as error:
        if watch.current is not None:
            raise
        raise ReportError(f"The notebook's kernel did not start: {error}.") from error
    finally:
        _tidy(watch)
    if (failure := _failure(watch.notebook)) is not None:
        raise ReportError(failure)


def _start(words: str) -> str:
    """Words as the start of a sentence; the rest keeps its capitals."""
    return words[:1].upper() + words[1:]


def _failure(notebook: Any) -> str | None:
    """Why the run is not whole, or None. Trusts the outputs, never papermill's own marks."""
    for index, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code" or not cell["source"].strip():
            continue
        for output in cell["outputs"]:
            if output["output_type"] == "error" and "raises-exception" not in tags(cell):
                message = " ".join(COLOURS.sub("", output["evalue"]).split())
                message = message if len(message) <= 300 else message[:297] + "..."
                said = f"{output['ename']}: {message}" if message else output["ename"]
                return f"{_start(where(notebook, index))} raised {said}"
        if cell["execution_count"] is None and "skip-execution" not in tags(cell):
            return f"The run ended before {where(notebook, index)}, so there is no report."
    return None


def _tidy(watch: Watch) -> None:
    """Take out what papermill adds for itself: paths of this machine, error banners."""
    if watch.notebook is None:
        return
    notes = watch.notebook["metadata"].get("papermill", {})
    for key in ("input_path", "output_path", "environment_variables"):
        notes.pop(key, None)
    watch.notebook["cells"] = [
        cell for cell in watch.notebook["cells"] if ERROR_MARKER_TAG not in tags(cell)
    ]
