"""Chapter 1: right answers, and wrong ones that learners really give."""

from itertools import pairwise


def backwards(rewards, gamma):
    total = 0.0
    for reward in reversed(rewards):
        total = reward + gamma * total
    return total


def weighted(weight):
    def total(rewards, gamma):
        count = len(rewards)
        return sum(weight(gamma, t, count) * reward for t, reward in enumerate(rewards))

    return total


def worth(reward, next_value, terminated, truncated, gamma):
    return reward if terminated else reward + gamma * next_value


def ends_at(over, last=lambda reward: reward):
    def value(reward, next_value, terminated, truncated, gamma):
        ended = over(terminated, truncated)
        return last(reward) if ended else reward + gamma * next_value

    return value


def no_discount(reward, next_value, terminated, truncated, gamma):
    return reward if terminated else reward + next_value


def all_discounted(reward, next_value, terminated, truncated, gamma):
    return reward if terminated else gamma * (reward + next_value)


def by_a_factor(reward, next_value, terminated, truncated, gamma):
    return reward + gamma * next_value * (not terminated)


def dense(biases):
    def parameters(sizes):
        return sum(a * b for a, b in pairwise(sizes)) + sum(biases(sizes))

    return parameters


RIGHT = {
    "01.1": backwards,
    "01.2": worth,
    "01.3": dense(lambda sizes: sizes[1:]),
}
WRONG = [
    ("01.1", lambda rewards, gamma: sum(rewards), "gamma is missing"),
    ("01.1", weighted(lambda gamma, t, count: gamma ** (t + 1)), "first reward is discounted"),
    ("01.1", weighted(lambda gamma, t, count: gamma ** (count - 1 - t)), "wrong way round"),
    ("01.1", weighted(lambda gamma, t, count: gamma if t else 1), "the same factor"),
    ("01.1", lambda rewards, gamma: rewards[0], "first reward alone"),
    ("01.2", no_discount, "gamma is missing"),
    ("01.2", all_discounted, "not to the reward"),
    ("01.2", lambda reward, *_: reward, "goes on"),
    ("01.2", ends_at(lambda terminated, truncated: terminated or truncated), "taken for an end"),
    ("01.2", ends_at(lambda terminated, truncated: truncated), "changed places"),
    ("01.2", ends_at(lambda terminated, truncated: False), "nothing follows"),
    ("01.2", ends_at(lambda terminated, truncated: terminated, lambda _: 0.0), "still counts"),
    (
        "01.2",
        ends_at(lambda terminated, truncated: terminated and not truncated),
        "both happen at once",
    ),
    ("01.2", by_a_factor, "NaN too"),
    ("01.3", dense(lambda sizes: []), "biases are missing"),
    ("01.3", dense(lambda sizes: sizes), "input has no bias"),
    ("01.3", dense(lambda sizes: sizes[:-1]), "one for each output"),
    ("01.3", lambda sizes: dense(lambda s: s[1:])(sizes[:-1]), "last layer"),
    ("01.3", lambda sizes: 2 * dense(lambda s: [])(sizes), "operations"),
]
