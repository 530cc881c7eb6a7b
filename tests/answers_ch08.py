"""Chapter 8: right answers, and wrong ones that learners really give."""

import numpy as np


def target(reward, next_row, next_action, gamma, terminated):
    return reward if terminated else reward + gamma * next_row[next_action]


def expected(reward, next_row, epsilon, gamma, terminated):
    mean = epsilon * next_row.mean() + (1 - epsilon) * next_row.max()
    return reward if terminated else reward + gamma * mean


def shared(reward, next_row, epsilon, gamma, terminated):
    best = next_row == next_row.max()
    policy = epsilon / len(next_row) + (1 - epsilon) * best / best.sum()
    return reward + gamma * (policy @ next_row) * (not terminated)


def each_best(reward, next_row, epsilon, gamma, terminated):
    policy = epsilon / len(next_row) + (1 - epsilon) * (next_row == next_row.max())
    return reward + gamma * (policy @ next_row) * (not terminated)


def among_the_others(reward, next_row, epsilon, gamma, terminated):
    policy = np.full(len(next_row), epsilon / (len(next_row) - 1))
    policy[np.argmax(next_row)] = 1 - epsilon
    return reward + gamma * (policy @ next_row) * (not terminated)


def carried(start, choose, step):
    rows, state, action, terminated = [], start, choose(start), False
    while not terminated:
        next_state, reward, terminated = step(state, action)
        next_action = None if terminated else choose(next_state)
        rows.append((state, action, reward, next_state, next_action))
        state, action = next_state, next_action
    return rows


def drawn_anew(start, choose, step):
    rows, state, terminated = [], start, False
    while not terminated:
        action = choose(state)
        next_state, reward, terminated = step(state, action)
        next_action = None if terminated else choose(next_state)
        rows.append((state, action, reward, next_state, next_action))
        state = next_state
    return rows


def at_the_end_too(start, choose, step):
    rows, state, action, terminated = [], start, choose(start), False
    while not terminated:
        next_state, reward, terminated = step(state, action)
        next_action = choose(next_state)
        rows.append((state, action, reward, next_state, next_action))
        state, action = next_state, next_action
    return rows


def without_next(start, choose, step):
    rows, state, terminated = [], start, False
    while not terminated:
        action = choose(state)
        next_state, reward, terminated = step(state, action)
        rows.append((state, action, reward, next_state, None))
        state = next_state
    return rows


RIGHT = {
    "08.1": target,
    "08.2": expected,
    "08.3": carried,
}
WRONG = [
    ("08.1", lambda r, row, a, g, end: r if end else r + g * row.max(), "Q-Learning's target"),
    ("08.1", lambda r, row, a, g, end: r if end else r + g - row[a], "gamma is a factor"),
    ("08.1", lambda r, row, a, g, end: r if end else r + row[a], "gamma is missing"),
    ("08.1", lambda r, row, a, g, end: r + g * row[a], "nothing follows"),
    ("08.1", lambda r, row, a, g, end: 0 if end else r + g * row[a], "last reward still counts"),
    ("08.2", each_best, "they share it"),
    ("08.2", among_the_others, "also pick the best"),
    ("08.2", lambda r, row, e, g, end: expected(r, row, 1 - e, g, end), "upside down"),
    ("08.2", lambda r, row, e, g, end: expected(r, row, 0.0, g, end), "best next action alone"),
    ("08.2", lambda r, row, e, g, end: expected(r, row, e, g, False), "the reward alone"),
    ("08.3", drawn_anew, "carry it over"),
    ("08.3", at_the_end_too, "ended the episode"),
    ("08.3", lambda *args: carried(*args)[:-1], "is missing"),
    ("08.3", without_next, "chosen before the update"),
]
