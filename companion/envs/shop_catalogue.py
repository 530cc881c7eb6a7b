"""The catalogue of a `ShopWorld`: topics, kinds, names and vectors of the items bought most."""

from typing import Any

import numpy as np
import polars as pl
from sklearn.cluster import KMeans
from sklearn.preprocessing import normalize

COARSE, FINE, FINEST = ("department",), ("category", "topic", "genre"), ("type", "subcategory")


def unit(vectors: np.ndarray, topic: np.ndarray) -> np.ndarray:
    """Rows of length 1: an item without a vector of its own gets the middle of its topic."""
    filled = vectors.copy()
    for item in np.flatnonzero(~vectors.any(axis=1)):
        middle = vectors[topic == topic[item]].mean(axis=0)
        filled[item] = middle if middle.any() else np.eye(1, vectors.shape[1])[0]
    return normalize(filled).astype(np.float32)


def words_of(chosen: pl.Series, items: pl.DataFrame | None) -> pl.DataFrame:
    """The rows of the table of items, in the order of the catalogue."""
    frame = pl.DataFrame({"item_id": chosen})
    if items is None:
        return frame
    table = items.with_columns(pl.col("item_id").cast(pl.String)).unique("item_id", keep="first")
    return frame.join(table, on="item_id", how="left", maintain_order="left")


def _column(words: pl.DataFrame, names: tuple[str, ...]) -> pl.Series | None:
    """The first of these columns that the items have, as text."""
    found = [name for name in names if name in words.columns]
    return words[found[0]].cast(pl.String) if found else None


def topics_of(
    words: pl.DataFrame, counts: np.ndarray, num_topics: int, vectors: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names [C] and the topic of each item [I]: as many of the largest categories as have room."""
    fine, coarse = _column(words, FINE), _column(words, COARSE)
    if fine is None and coarse is None:
        groups = KMeans(min(num_topics, len(counts)), n_init=3, random_state=0).fit_predict(vectors)
        return _numbered([f"group {group + 1:02d}" for group in groups])
    rest = (coarse if coarse is not None else pl.Series(["all"] * words.height)).fill_null("all")
    narrow = (fine if fine is not None else rest).fill_null("unknown")
    total: dict[str, float] = {}
    for name, count in zip(narrow, counts, strict=True):
        total[name] = total.get(name, 0.0) + float(count)
    by_size = sorted(total, key=lambda name: (-total[name], name))
    for kept in range(min(num_topics, len(by_size)), -1, -1):
        large = set(by_size[:kept])
        pairs = list(zip(narrow, rest, strict=True))
        parted = {c for n, c in pairs if n in large}
        labels = [n if n in large else f"{c}, other" if c in parted else c for n, c in pairs]
        if len(set(labels)) <= num_topics:
            return _numbered(labels)
    return _numbered(["all"] * words.height)


def _numbered(labels: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    names, numbers = np.unique(np.array(labels), return_inverse=True)
    return tuple(map(str, names)), numbers.astype(np.int64)


def named(words: pl.DataFrame, chosen: pl.Series, topic: np.ndarray) -> dict[str, Any]:
    """Names [I], kinds (G,) and the kind of each item [I]."""
    finest = _column(words, (*FINEST, *FINE))
    finest = pl.Series([None] * len(chosen), dtype=pl.String) if finest is None else finest
    kinds, kind = _numbered([a or str(b) for a, b in zip(finest, topic, strict=True)])
    name = _column(words, ("name", "title"))
    if name is None:
        parts = [c for c in ("type", "brand", "size") if c in words.columns]
        text = pl.concat_str(parts, separator=", ", ignore_nulls=True) if parts else pl.lit(None)
        name = words.with_columns(text.cast(pl.String).alias("name"))["name"]
    names = [a or f"item {b}" for a, b in zip(name, chosen, strict=True)]
    return {"names": np.array(names), "kinds": kinds, "kind": kind}
