"""What several tests share."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import polars as pl
import pytest
from hypothesis import settings
from parity import FRAMEWORKS, load

settings.register_profile("course", deadline=None)  # machines are noisy
settings.load_profile("course")
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared():
    """The folder of cases and samples, which the project does not depend on."""
    if not (SHARED / "cases").is_dir():
        pytest.skip("the folder with cases from public bug reports is not here")
    return SHARED


@pytest.fixture
def twins():
    """The package of each framework."""
    return [load(framework) for framework in FRAMEWORKS]


@pytest.fixture(params=FRAMEWORKS)
def twin(request):
    """One framework's package after the other."""
    return load(request.param)


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


def _in_polars(unit, zone):
    dtype = pl.Datetime(unit, zone)
    return lambda events: events.with_columns(
        pl.col("timestamp").dt.convert_time_zone(zone).cast(dtype)
    )


def _in_pandas(dtype):
    def change(events):
        frame = events.to_pandas()
        return frame.assign(timestamp=frame["timestamp"].astype(dtype))

    return change


# The same instants, written as other programs write them.
OTHER_TIMES = {
    "ns": _in_polars("ns", "UTC"),
    "ms": _in_polars("ms", "UTC"),
    "us in Shanghai": _in_polars("us", "Asia/Shanghai"),
    "ns in New York": _in_polars("ns", "America/New_York"),
    "pandas s": _in_pandas("datetime64[s, UTC]"),
    "pandas ms": _in_pandas("datetime64[ms, UTC]"),
    "pandas ns": _in_pandas("datetime64[ns, UTC]"),
    "pandas s in Berlin": _in_pandas("datetime64[s, Europe/Berlin]"),
}


def other_moments(moment):
    """The same moment in other zones and as pandas has it."""
    return [
        moment,
        moment.astimezone(ZoneInfo("Asia/Shanghai")),
        moment.astimezone(ZoneInfo("America/New_York")),
        pd.Timestamp(moment),
        pd.Timestamp(moment).tz_convert("Europe/Berlin"),
    ]
