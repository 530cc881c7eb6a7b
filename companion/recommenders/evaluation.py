"""Figures of recommenders on a next-basket question: one value per user, then tables and words."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from companion.data.transformers import FIRST_KNOWN, IdEncoder
from companion.metrics import ranking
from companion.recommenders.simple import blend
from companion.recommenders.task import Question

GRID = (0.0, 2.0, 4.0, 6.0, 8.0, 16.0, 32.0)  # weights of habits
WHOLE = "recall of the whole basket"


def evaluate(
    scores: np.ndarray, asked: Question, k: int, *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Every metric, one value per user; NaN for a user whose answer has no known item.

    `recall` has the answer's catalogue items below the line. "recall of the whole basket" has all
    of them, also those that no list can hold; it is defined for every user.

    Args:
        scores: [U, V]; padding and the unknown item are never candidates.
        asked: the question with its answers.
        k: places.
        seed: of the order among equal scores.
    """
    found = ranking.hits(_top(scores, k, seed), asked.relevant)
    values = {name: metric(found) for name, metric in ranking.METRICS.items()}
    return {**values, WHOLE: found.at.sum(axis=1) / asked.sizes}


def _top(scores: np.ndarray, k: int, seed: int) -> np.ndarray:
    """The first k of the catalogue; padding and the unknown item are no candidates. [U, k]"""
    scores = np.array(scores, dtype=np.float32)
    scores[:, :FIRST_KNOWN] = -np.inf
    return ranking.top_k(scores, k, seed=seed)


def only(asked: Question, *, repeated: bool) -> Question:
    """The same question with only the repeated, or only the new, items in the answers."""
    keep = asked.repeated == repeated
    return asked._replace(relevant=np.where(keep, asked.relevant, ranking.NOTHING))


def best_weight(
    scores: np.ndarray, asked: Question, grid: Sequence[float], k: int
) -> tuple[float, dict[float, float]]:
    """The weight of habits that gives the highest mean recall, and the recall of each.

    Args:
        scores: [U, V] of a model on the tuning question.
        asked: the tuning question, never the test.
        grid: weights to try; the first of equals wins.
        k: places.
    """
    recalls = {}
    for weight in grid:
        values = evaluate(blend(scores, asked.counts, weight), asked, k)["recall"]
        recalls[weight] = float(np.nanmean(values))
    return max(recalls, key=lambda weight: recalls[weight]), recalls


def recall_by_part(
    scores: Mapping[str, np.ndarray], asked: Question, k: int, *, seed: int = 0
) -> pd.DataFrame:
    """Mean recall of each method: of products bought before and of new ones, and of the half of
    the users with the fewer and with the more purchases behind them.

    Args:
        scores: name of the method to [U, V].
        asked: the question.
        k: places.
        seed: of the order among equal scores.
    """
    past = asked.counts.sum(axis=1)
    few = past <= np.median(past)
    rows = {}
    for name, values in scores.items():
        top = _top(values, k, seed)
        whole, old, new = (
            ranking.recall(ranking.hits(top, part.relevant))
            for part in (asked, only(asked, repeated=True), only(asked, repeated=False))
        )
        parts = {
            "bought before": old,
            "new to them": new,
            "short history": whole[few],
            "long history": whole[~few],
        }
        rows[name] = {part: _mean(found) for part, found in parts.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def reading(table: pd.DataFrame) -> str:
    """What the table of `recall_by_part` says, in a sentence."""
    new, old = table["new to them"], table["bought before"]
    return (
        f"New to a user: {new.idxmax()} has the highest figure, {new.max():.1%}. "
        f"Bought before: {old.idxmax()}, {old.max():.1%}."
    )


def whole_baskets(results: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """Mean recall with the whole basket below the line, in a sentence. Argument: of `evaluate`."""
    means = (f"{name} {float(np.mean(found[WHOLE])):.3f}" for name, found in results.items())
    return f"with all that was bought below the line: {', '.join(means)}"


def describe(asked: Question, encoder: IdEncoder) -> str:
    """How many items and users the figures rest on, and what lies outside the catalogue."""
    return (
        f"catalogue: {encoder.size_ - FIRST_KNOWN:,} items; {asked.outside / asked.asked:.0%} of "
        f"what was bought lies outside it\n"
        f"{asked.counted:,} of {len(asked.users):,} users bought from it: the means are over these"
    )


def with_habits(
    tune_scores: np.ndarray, scores: np.ndarray, tuning: Question, asked: Question, k: int
) -> tuple[np.ndarray, float]:
    """A model's scores blended with habits, [U, V], and the weight that the tuning weeks chose.

    Args:
        tune_scores: [U', V] of the model on the tuning question.
        scores: [U, V] of the model on the question.
        tuning: it alone decides the weight.
        asked: the question.
        k: places.
    """
    weight, _ = best_weight(tune_scores, tuning, GRID, k)
    return blend(scores, asked.counts, weight), weight


def _mean(values: np.ndarray) -> float | None:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None
