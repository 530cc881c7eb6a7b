"""Chapter 3: right answers, and wrong ones that learners really give."""

import numpy as np


def number(seconds, silence):
    return 1 + np.concatenate([[0], np.cumsum(np.diff(np.asarray(seconds)) > silence)])


def from_first(seconds, silence):
    return [1 + (s - seconds[0] > silence) for s in seconds]


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


RIGHT = {
    "03.1": number,
    "03.2": fill_with(of_train, of_train),
    "03.3": index(1),
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
]
