"""Chapter 9: right answers, and wrong ones that learners really give."""

import numpy as np


def double(chooser=0, valuer=1, mask=True, reward_too=True, product=False):
    def target(reward, terminated, gamma, *networks):
        best = networks[chooser].argmax(1)
        future = networks[valuer][np.arange(len(best)), best]
        if product:
            with np.errstate(invalid="ignore"):
                future = (1 - terminated) * future
        elif mask:
            future = np.where(terminated, 0.0, future)
        return reward_too * reward + gamma * future

    return target


def n_step(power=0, rewards_too=True, value_power=None, mask=True):
    def target(rewards, value, terminated, gamma):
        n = len(rewards) + power if value_power is None else value_power
        total = 0.0 if terminated and mask else gamma**n * value
        return total + sum(gamma ** (k * rewards_too) * r for k, r in enumerate(rewards))

    return target


def prioritised(divide=True, with_alpha=True, normalise=True, sign=-1):
    def both(priorities, alpha, beta):
        raised = priorities ** (alpha if with_alpha else 1)
        probabilities = raised / raised.sum() if divide else raised
        weights = (len(priorities) * probabilities) ** (sign * beta)
        return probabilities, weights / weights.max() if normalise else weights

    return both


RIGHT = {"09.1": double(), "09.2": n_step(), "09.3": prioritised()}
WRONG = [
    ("09.1", double(chooser=1), "target network has chosen"),
    ("09.1", double(valuer=0), "online network has valued"),
    ("09.1", double(mask=False), "second transition has terminated"),
    ("09.1", double(reward_too=False), "reward is missing"),
    ("09.1", double(product=True), "0 times infinity"),
    ("09.2", n_step(value_power=1), "three steps ahead"),
    ("09.2", n_step(rewards_too=False), "rewards are discounted too"),
    ("09.2", n_step(power=-1), "gamma^n"),
    ("09.2", n_step(mask=False), "episode has ended"),
    ("09.3", prioritised(divide=False), "sum to 1"),
    ("09.3", prioritised(normalise=False), "largest weight"),
    ("09.3", prioritised(sign=1), "-beta"),
    ("09.3", prioritised(with_alpha=False), "alpha is missing"),
]
