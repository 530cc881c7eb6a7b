# mypy: untyped-calls-exclude="nbformat,nbconvert"
"""The folder of a report: whole or absent, and never an old one taken for the new."""

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import nbformat

from companion.reports.errors import ReportError
from companion.reports.plan import as_text

# The page comes last: while it is missing, nothing in the folder looks finished.
NAMES = ("results.json", "report.ipynb", "report.html")
FAILED = "failed.ipynb"
PREVIOUS = "previous"


class Stage:
    """A place to write a report before it counts.

    On entry an older report is set aside into `previous/`. `publish` moves the new one into place.
    Leaving without it leaves no report. The work folder lies inside `out`, so that moving is
    renaming even where `out` is a mounted volume.
    """

    def __init__(self, out: Path) -> None:
        self.out = Path(out).absolute()
        self._work: Path | None = None
        self._published = False

    def __enter__(self) -> "Stage":
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            self._work = Path(tempfile.mkdtemp(prefix=".report-", dir=self.out))
            self._set_aside()
        except OSError as error:
            self._clear()
            shown = as_text(self.out)
            raise ReportError(f"The folder {shown} cannot be written: {error.strerror}.") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._published:
            for name in NAMES:
                (self.out / name).unlink(missing_ok=True)
        self._clear()

    def write(self, name: str, text: str) -> None:
        """Write one of the report's files, in UTF-8, into the work folder."""
        assert self._work is not None
        (self._work / name).write_bytes(text.encode("utf-8"))

    def publish(self) -> None:
        """Move the files into place, the page last, and drop what they replace."""
        assert self._work is not None
        for name in NAMES:
            os.replace(self._work / name, self.out / name)
        self._published = True
        shutil.rmtree(self.out / PREVIOUS, ignore_errors=True)

    def keep_failed(self, notebook: Any, reason: str) -> None:
        """Keep a notebook that did not finish, for whoever looks for the fault."""
        note = f"**This run failed; it is not a report.** {reason}"
        kept = nbformat.from_dict(dict(notebook))
        first = nbformat.v4.new_markdown_cell(note, metadata={"tags": ["failed"]})
        kept["cells"] = [first, *notebook["cells"]]
        self.write(FAILED, nbformat.writes(kept) + "\n")
        assert self._work is not None
        os.replace(self._work / FAILED, self.out / FAILED)

    def _set_aside(self) -> None:
        (self.out / FAILED).unlink(missing_ok=True)
        old = [name for name in NAMES if (self.out / name).exists()]
        if old:
            shutil.rmtree(self.out / PREVIOUS, ignore_errors=True)
            (self.out / PREVIOUS).mkdir()
        for name in old:
            os.replace(self.out / name, self.out / PREVIOUS / name)

    def _clear(self) -> None:
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)
