"""Where a report's figures came from: code, data, versions, machine, time."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import companion
from companion.core.paths import ROOT
from companion.reports.cells import places

SHARED = ("numpy", "pandas", "polars", "scikit-learn")
EDITIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "pytorch": {"torch": ("torch",)},
    "tensorflow": {"tensorflow": ("tensorflow", "tensorflow-cpu"), "keras": ("keras",)},
}


def code_version(root: Path = ROOT) -> dict[str, str]:
    """The git commit of the project and whether its tree is clean or dirty; else 'unknown'."""
    unknown = {"commit": "unknown", "tree": "unknown"}
    top, commit = _git(root, "rev-parse", "--show-toplevel"), _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain")
    # An installed copy may lie inside somebody else's repository: that commit is not ours.
    if not top or not commit or changes is None or Path(top).resolve() != root.resolve():
        return unknown
    return {"commit": commit, "tree": "dirty" if changes else "clean"}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def versions(framework: str) -> dict[str, str]:
    """Versions of Python, of this package and of what the edition computes with."""
    found = {"companion": companion.__version__, "python": platform.python_version()}
    wanted: dict[str, tuple[str, ...]] = {name: (name,) for name in SHARED}
    wanted |= EDITIONS.get(framework, {})
    return found | {name: installed(*names) for name, names in wanted.items()}


def installed(*names: str) -> str:
    """The version of the first of these distributions that is installed, or 'not installed'."""
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "not installed"


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def cell_seconds(notebook: Any) -> list[dict[str, Any]]:
    """Wall seconds of each code cell, with its number and section."""
    timed = []
    for cell, place in zip(notebook["cells"], places(notebook), strict=True):
        seconds = cell["metadata"].get("papermill", {}).get("duration")
        if cell["cell_type"] == "code" and seconds is not None:
            timed.append(place | {"seconds": round(seconds, 3)})
    return timed
