"""What several tests share."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import settings

settings.register_profile("course", deadline=None)  # machines are noisy
settings.load_profile("course")
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared():
    """The folder of cases and samples, which the project does not depend on."""
    if not (SHARED / "cases").is_dir():
        pytest.skip("the folder with cases from public bug reports is not here")
    return SHARED


def make_events(rows, columns=("user_id", "item_id", "timestamp"), event="view"):
    """Events from short rows; times in seconds since 2024 began."""
    table = pl.DataFrame(rows, schema=list(columns), orient="row")
    start = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
    table = table.with_columns(
        ((pl.col("timestamp") + start) * 1_000_000).cast(pl.Datetime("us", "UTC"))
    )
    if "event" not in columns:
        table = table.with_columns(pl.lit(event).alias("event"))
    return table
