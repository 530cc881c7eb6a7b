"""Where things lie. Found from the package, never from the working folder."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def data_folder() -> Path:
    """The folder of the data: `COMPANION_DATA` where it is set, else `data` beside the package."""
    return Path(os.environ.get("COMPANION_DATA") or ROOT / "data")


def raw_folder() -> Path:
    """Data as it was fetched. Not in the repository."""
    return data_folder() / "raw"


def sample_folder() -> Path:
    """The small simulated log that comes with the project."""
    return ROOT / "data" / "sample"
