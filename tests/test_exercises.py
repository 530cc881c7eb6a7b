"""Each exercise: the right answer, and wrong ones that learners really give, told apart."""

import numpy as np
import pytest

from companion.course.answers import verdict


def number(seconds, silence):
    return 1 + np.concatenate([[0], np.cumsum(np.diff(np.asarray(seconds)) > silence)])


def from_first(seconds, silence):
    return [1 + (s - seconds[0] > silence) for s in seconds]


def mean_of(train):
    return np.nanmean(train)


def fill_with(value_of_train, value_of_test):
    def fill(train, test):
        return (
            np.where(np.isnan(train), value_of_train(train, test), train),
            np.where(np.isnan(test), value_of_test(train, test), test),
        )

    return fill


def of_train(train, test):
    return np.nanmean(train)


def of_both(train, test):
    return np.nanmean(np.concatenate([train, test]))


def index(unknown, names=dict.fromkeys):
    def indices(train, test):
        known = {name: place for place, name in enumerate(names(train), start=2)}
        return [known.get(name, unknown) for name in test]

    return indices


def fitted_on_both(train, test):
    return index(1)(train + test, test)


def se(values, ddof=1):
    return values.std(ddof=ddof) / np.sqrt(len(values))


RIGHT = {
    "03.1": number,
    "03.2": fill_with(of_train, of_train),
    "03.3": index(1),
    "13.1": lambda shown, bought: len(set(shown) & set(bought)) / len(set(bought)),
    "13.2": lambda a, b: ((a - b).mean(), se(a - b)),
}
WRONG = [
    ("03.1", lambda s, q: number(s, q) - 1, "first session is 1"),
    ("03.1", lambda s, q: number(s, q - 1), "exactly the limit"),
    ("03.1", from_first, "each long silence"),
    ("03.1", lambda s, q: np.concatenate([[0], np.diff(s) > q]), "running sum"),
    ("03.2", fill_with(of_both, of_both), "leaked"),
    ("03.2", fill_with(of_train, lambda train, test: np.nanmean(test)), "its own mean"),
    ("03.2", fill_with(lambda *_: 0, lambda *_: 0), "Zero is a value"),
    ("03.3", index(0), "padding"),
    ("03.3", index(-1), "last row"),
    ("03.3", fitted_on_both, "learned from the test"),
    ("03.3", index(1, lambda ids: sorted(set(ids))), "alphabet"),
    ("13.1", lambda s, b: len(set(s) & set(b)) / len(s), "precision"),
    ("13.1", lambda s, b: float(bool(set(s) & set(b))), "hit rate"),
    ("13.1", lambda s, b: sum(x in s for x in b) / len(b), "counts once"),
    ("13.2", lambda a, b: ((b - a).mean(), se(a - b)), "ours minus theirs"),
    ("13.2", lambda a, b: (a.mean() / b.mean() - 1, se(a - b)), "relative"),
    ("13.2", lambda a, b: ((a - b).mean(), np.hypot(se(a), se(b))), "different households"),
    ("13.2", lambda a, b: ((a - b).mean(), (a - b).std(ddof=1)), "spread of one"),
    ("13.2", lambda a, b: ((a - b).mean(), se(a - b, 0)), "N - 1"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_answer_is_right(name):
    assert verdict(name, RIGHT[name]) == f"{name}: right."


@pytest.mark.parametrize(("name", "attempt", "words"), WRONG)
def test_a_known_mistake_is_named(name, attempt, words):
    said = verdict(name, attempt)
    assert "right." not in said
    assert words in said


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize(
    "attempt", [lambda *_: "what?", lambda *_: [99, 99], lambda *_: 1 / 0, None]
)
def test_anything_else_is_not_yet(name, attempt):
    assert verdict(name, attempt).startswith(f"{name}: not yet")


def test_each_exercise_has_two_wrong_answers_or_more():
    for name in RIGHT:
        assert sum(wrong[0] == name for wrong in WRONG) >= 2
