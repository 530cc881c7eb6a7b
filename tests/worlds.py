"""Small environments that several tests run on."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class ThreeSteps(gym.Env):
    """An episode of three steps with reward 1, whatever is done; it observes their number."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Box(0, 3, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.float32([0]), {}

    def step(self, action):
        self.count += 1
        return np.float32([self.count]), 1.0, self.count == 3, False, {}


class InPlace(gym.Env):
    """One array for all observations: 1, 2, 3."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Box(0, 10, (1,), np.float32)

    def __init__(self):
        self.array = np.zeros(1, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.array[:] = 1
        return self.array, {}

    def step(self, action):
        self.array += 1
        return self.array, float(self.array[0]), bool(self.array[0] == 4), False, {}


class Identity(gym.Env):
    """Shows one of four numbers, one-hot; the action of that number pays 1. 20 steps.

    The action after it, in the row of actions, is forbidden if `masked`.
    """

    observation_space = gym.spaces.Box(0, 1, (4,), np.float32)
    action_space = gym.spaces.Discrete(4)

    def __init__(self, masked=False):
        self.masked = masked

    def _show(self):
        self.number = int(self.np_random.integers(4))
        allowed = np.arange(4) != (self.number + 1) % 4
        info = {"action_mask": allowed} if self.masked else {}
        return np.eye(4, dtype=np.float32)[self.number], info

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._show()

    def step(self, action):
        assert not self.masked or action != (self.number + 1) % 4
        reward, self.time = float(action == self.number), self.time + 1
        obs, info = self._show()
        return obs, reward, False, self.time == 20, info
