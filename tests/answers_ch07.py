"""Chapter 7: right answers, and wrong ones that learners really give."""

import numpy as np


def new_value(target):
    def update(old, reward, next_row, terminated, alpha, gamma):
        return old + alpha * (target(reward, next_row, terminated, gamma) - old)

    return update


def of_the_best(reward, next_row, terminated, gamma):
    return reward if terminated else reward + gamma * np.max(next_row)


def of_the_mean(reward, next_row, terminated, gamma):
    return reward if terminated else reward + gamma * np.mean(next_row)


def always_bootstrapped(reward, next_row, terminated, gamma):
    return reward + gamma * np.max(next_row)


def nothing_at_the_end(reward, next_row, terminated, gamma):
    return 0 if terminated else reward + gamma * np.max(next_row)


def masked_by_a_factor(reward, next_row, terminated, gamma):
    return reward + gamma * np.max(next_row) * (not terminated)


def no_discount(reward, next_row, terminated, gamma):
    return reward if terminated else reward + np.max(next_row)


def all_discounted(reward, next_row, terminated, gamma):
    return reward if terminated else gamma * (reward + np.max(next_row))


def target_alone(old, reward, next_row, terminated, alpha, gamma):
    return of_the_best(reward, next_row, terminated, gamma)


def old_kept_whole(old, reward, next_row, terminated, alpha, gamma):
    return old + alpha * of_the_best(reward, next_row, terminated, gamma)


def old_forgotten(old, reward, next_row, terminated, alpha, gamma):
    return alpha * of_the_best(reward, next_row, terminated, gamma)


def overwritten_at_the_end(old, reward, next_row, terminated, alpha, gamma):
    if terminated:
        return reward
    return old + alpha * (reward + gamma * np.max(next_row) - old)


def shared(q_row, epsilon):
    best = q_row == q_row.max()
    return epsilon / len(q_row) + (1 - epsilon) * best / best.sum()


def to_the_first(q_row, epsilon):
    policy = np.full(len(q_row), epsilon / len(q_row))
    policy[np.argmax(q_row)] += 1 - epsilon
    return policy


def to_each_best(q_row, epsilon):
    return epsilon / len(q_row) + (1 - epsilon) * (q_row == q_row.max())


def among_the_others(q_row, epsilon):
    policy = np.full(len(q_row), epsilon / (len(q_row) - 1))
    policy[np.argmax(q_row)] = 1 - epsilon
    return policy


def without_its_share(q_row, epsilon):
    policy = np.full(len(q_row), epsilon / len(q_row))
    policy[np.argmax(q_row)] = 1 - epsilon
    return policy


def double(value):
    def target(q, other, reward, next_state, terminated, gamma):
        best = value(q[next_state], other[next_state])
        return reward if terminated else reward + gamma * best

    return target


def double_always(q, other, reward, next_state, terminated, gamma):
    return reward + gamma * other[next_state, np.argmax(q[next_state])]


def double_no_discount(q, other, reward, next_state, terminated, gamma):
    return reward if terminated else reward + other[next_state, np.argmax(q[next_state])]


RIGHT = {
    "07.1": new_value(of_the_best),
    "07.2": shared,
    "07.3": double(lambda q, other: other[np.argmax(q)]),
}
WRONG = [
    ("07.1", new_value(always_bootstrapped), "nothing follows"),
    ("07.1", new_value(nothing_at_the_end), "last reward still counts"),
    ("07.1", new_value(masked_by_a_factor), "NaN too"),
    ("07.1", new_value(of_the_mean), "takes the best"),
    ("07.1", new_value(no_discount), "gamma is missing"),
    ("07.1", new_value(all_discounted), "after the reward"),
    ("07.1", target_alone, "That is the target"),
    ("07.1", old_kept_whole, "not taken away"),
    ("07.1", old_forgotten, "is gone"),
    ("07.1", overwritten_at_the_end, "At the end too"),
    ("07.2", lambda row, epsilon: shared(row, 1 - epsilon), "upside down"),
    ("07.2", to_the_first, "one of them got it all"),
    ("07.2", to_each_best, "each got all of 1 - epsilon"),
    ("07.2", among_the_others, "may pick the best action too"),
    ("07.2", without_its_share, "do not sum to 1"),
    ("07.2", lambda row, epsilon: shared(row, 0), "That is greedy"),
    ("07.3", double(lambda q, other: q.max()), "That is Q-Learning"),
    ("07.3", double(lambda q, other: other.max()), "best of the other table"),
    ("07.3", double(lambda q, other: q[np.argmax(other)]), "changed places"),
    ("07.3", double(lambda q, other: np.argmax(q)), "place of the best action"),
    ("07.3", double_no_discount, "gamma is missing"),
    ("07.3", double_always, "nothing follows"),
]
