"""Numbers and times as a reader likes them."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

SPACE = "\N{NARROW NO-BREAK SPACE}"  # between a number and its unit
DIGITS = 4  # that count, where no interval says how many do


def number(value: float, decimals: int | None = None) -> str:
    """A number with thousands marked, to four digits that count or a given count of decimals."""
    if isinstance(value, int) and decimals is None:
        return f"{value:,}".replace("-", "−")
    if decimals is None and value != 0 and not 1e-4 <= abs(value) < 1e15:
        return f"{value:.3e}".replace("-", "−")
    places = _decimals([value]) if decimals is None else decimals
    return f"{value:,.{places}f}".replace("-", "−")


def column(values: Sequence[Any]) -> list[str]:
    """A column of a table as texts: its numbers share their decimals, so that they compare."""
    numbers = [value for value in values if _is_number(value)]
    if not any(isinstance(value, float) for value in numbers):
        return [plain(value) for value in values]
    decimals = _decimals(numbers)
    return [number(value, decimals) if _is_number(value) else plain(value) for value in values]


def rows(table: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """A list of rows as column names and lines of texts; a key that a row lacks stays empty."""
    names = list(dict.fromkeys(name for row in table for name in row))
    columns = [column([row.get(name, "") for row in table]) for name in names]
    return names, [list(line) for line in zip(*columns, strict=True)]


def plain(value: Any) -> str:
    """Any recorded value as text; a long list is cut, and says so."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _is_number(value):
        return number(value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        text = ", ".join(plain(item) for item in value[:12])
        return text + (f", … ({len(value)} in all)" if len(value) > 12 else "")
    return str(value)


def shown(figure: dict[str, Any]) -> tuple[str, str]:
    """A figure's value and its 95 % interval as texts (the second may be empty).

    The interval sets the digits: half its width keeps two, and the value as many decimals.
    """
    value, unit, interval = figure["value"], figure["unit"], figure["interval"]
    if interval is None or not _is_number(value):
        return with_unit(plain(value), unit), ""
    half = (interval[1] - interval[0]) / 2
    whole = all(isinstance(part, int) for part in (value, *interval))
    decimals = None if whole or half <= 0 else min(max(1 - _magnitude(half), 0), 8)
    low, high = (number(end, decimals) for end in interval)
    text = with_unit(f"95% interval: {low} to {high}", unit)
    return with_unit(number(value, decimals), unit), text


def with_unit(text: str, unit: str) -> str:
    """A number and its unit; a percent sign stands close."""
    return f"{text}{unit}" if unit in {"", "%"} else f"{text}{SPACE}{unit}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _decimals(values: Iterable[float]) -> int:
    """Decimals for numbers that stand together: enough for the largest, none that are all 0."""
    numbers = [float(value) for value in values]
    largest = max((abs(value) for value in numbers), default=0.0)
    decimals = min(max(DIGITS - 1 - _magnitude(largest), 0), 8) if largest else 0
    while decimals and all(
        round(value, decimals) == round(value, decimals - 1) for value in numbers
    ):
        decimals -= 1
    return decimals


def _magnitude(value: float) -> int:
    """The power of ten of the first digit: 0 for 3.2, -2 for 0.05."""
    return math.floor(math.log10(abs(value)))


def duration(seconds: float) -> str:
    """Seconds in words: 4.2 s, 143 s as 2 min 23 s, 4000 s as 1 h 7 min."""
    if seconds < 60:
        return f"{seconds:.1f}{SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{SPACE}min {rest}{SPACE}s"
    return f"{minutes // 60}{SPACE}h {minutes % 60}{SPACE}min"


def moment(iso: str) -> str:
    """A time in UTC in words: 5 March 2026, 14:03 UTC."""
    when = datetime.fromisoformat(iso)
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def facts(results: dict[str, Any]) -> list[tuple[str, str]]:
    """The provenance as rows for a reader: what, and its value."""
    origin = results["provenance"]
    dirty = " (with changes that are not committed)" if origin["tree"] == "dirty" else ""
    listed = ", ".join(f"{key} = {value!r}" for key, value in origin["parameters"].items())
    return [
        ("Started", moment(origin["started"])),
        ("Took", duration(origin["seconds"])),
        ("Chapter", f"{origin['chapter']}, {origin['framework']} edition"),
        ("Profile", str(origin["profile"])),
        ("Data", str(origin["data"])),
        ("Seed", str(origin["seed"])),
        ("Parameters", listed or "none"),
        ("Code", f"commit {origin['commit']}{dirty}"),
        ("Versions", ", ".join(f"{name} {text}" for name, text in origin["versions"].items())),
        ("Device", str(origin["device"])),
        ("Processor", str(origin["cpu"])),
        ("System", str(origin["platform"])),
    ]
