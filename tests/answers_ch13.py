"""Chapter 13: right answers, and wrong ones that learners really give."""

import numpy as np


def se(values, ddof=1):
    return values.std(ddof=ddof) / np.sqrt(len(values))


RIGHT = {
    "13.1": lambda shown, bought: len(set(shown) & set(bought)) / len(set(bought)),
    "13.2": lambda a, b: ((a - b).mean(), se(a - b)),
}
WRONG = [
    ("13.1", lambda s, b: len(set(s) & set(b)) / len(s), "precision"),
    ("13.1", lambda s, b: float(bool(set(s) & set(b))), "hit rate"),
    ("13.1", lambda s, b: sum(x in s for x in b) / len(b), "counts once"),
    ("13.2", lambda a, b: ((b - a).mean(), se(a - b)), "ours minus theirs"),
    ("13.2", lambda a, b: (a.mean() / b.mean() - 1, se(a - b)), "relative"),
    ("13.2", lambda a, b: ((a - b).mean(), np.hypot(se(a), se(b))), "different households"),
    ("13.2", lambda a, b: ((a - b).mean(), (a - b).std(ddof=1)), "spread of one"),
    ("13.2", lambda a, b: ((a - b).mean(), se(a - b, 0)), "N - 1"),
]
