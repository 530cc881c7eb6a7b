"""Chapter 10: right answers, and wrong ones that learners really give."""

import numpy as np


def price(sign=1, greedy="both", best="together"):
    def answer(first, second):
        total = first + second.max(axis=1)
        g = first.argmax()
        greedy_total = {"both": total[g], "same": first[g] + second[g, g], "none": 0.0}[greedy]
        optimum = total.max() if best == "together" else first.max() + second.max()
        return sign * (optimum - greedy_total)

    return answer


def gae(with_lambda=True, with_gamma=True, ended=True, forward=False, less_value=True):
    def answer(reward, value, gamma, gae_lambda):
        after = np.append(value[1:], 0.0 if ended else value[-1])
        delta = reward + gamma * after - less_value * value
        factor = (gamma if with_gamma else 1.0) * gae_lambda if with_lambda else 0.0
        found, following = np.zeros(len(reward)), 0.0
        steps = range(len(reward))
        for t in steps if forward else reversed(steps):
            following = delta[t] + factor * following
            found[t] = following
        return found

    return answer


def compare(paired=True, sign=1, half=True, ddof=1, root=True):
    def answer(ours, theirs, t):
        gap = sign * (ours - theirs)
        spread = gap.std(ddof=ddof)
        if not paired:
            spread = np.hypot(ours.std(ddof=1), theirs.std(ddof=1))
        reach = half * t * spread / (np.sqrt(len(gap)) if root else 1.0)
        if abs(gap.mean()) <= reach:
            return "not told apart"
        return "better" if gap.mean() > 0 else "worse"

    return answer


RIGHT = {"10.1": price(), "10.2": gae(), "10.3": compare()}
WRONG = [
    ("10.1", price(greedy="none"), "take off what greedy earns"),
    ("10.1", price(sign=-1), "not the other way round"),
    ("10.1", price(greedy="same"), "greedy on page 2"),
    ("10.1", price(best="apart"), "need not go together"),
    ("10.2", gae(with_lambda=False), "TD errors"),
    ("10.2", gae(with_gamma=False), "gamma times lambda"),
    ("10.2", gae(forward=True), "wrong way round"),
    ("10.2", gae(ended=False), "has terminated"),
    ("10.2", gae(less_value=False), "value of the state itself"),
    ("10.3", compare(paired=False), "seed by seed"),
    ("10.3", compare(sign=-1), "above zero is better"),
    ("10.3", compare(half=False), "Zero is in the interval"),
    ("10.3", compare(ddof=0), "S - 1"),
    ("10.3", compare(root=False), "root of S"),
]
