# %% [markdown]
# # 9 · Deep Q-networks
#
# **Question.** A table holds one value for each state and action. What do we do when no state ever comes
# twice?
#
# ~35 min · needs chapters 7 and 8 · runs in about a minute on two CPU cores
#
# Afterwards you can write the loss of DQN, say what each of its parts is for and what happens without it,
# tell a true end from a time limit, and train a network that balances a pole.

# %% tags=["parameters"]
SEED = 0
RUNS = 3  # seeds of each experiment; a report takes 10
STEPS = 4_000  # of each run; a report takes 12,000
SOLVE_STEPS = 60_000  # at most, for the last agent

# %% tags=["pytorch"]
from collections.abc import Callable
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from companion.course.answers import check
from companion.envs import TableVectorEnv, exact, finite, gridworlds
from companion.metrics import learning, uplift
from companion.plots import figures
from companion.pytorch import DQNLearner, QNetwork, setup
from companion.reports.record import record
from companion.rl.dqn import DQNConfig
from companion.rl.replay import Batch
from companion.rl.rollout import evaluate, greedy, make_envs
from companion.rl.training import Training, run_and_keep_best

runtime = setup(SEED)

# %% tags=["tensorflow"]
from collections.abc import Callable
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pandas as pd

from companion.course.answers import check
from companion.envs import TableVectorEnv, exact, finite, gridworlds
from companion.metrics import learning, uplift
from companion.plots import figures
from companion.reports.record import record
from companion.rl.dqn import DQNConfig
from companion.rl.replay import Batch
from companion.rl.rollout import evaluate, greedy, make_envs
from companion.rl.training import Training, run_and_keep_best
from companion.tensorflow import DQNLearner, QNetwork, setup

import keras
import tensorflow as tf
from tensorflow import Tensor

runtime = setup(SEED)

# %% [markdown]
# ## A pole on a cart
#
# A cart carries a pole and can be pushed to the left (0) or to the right (1). The agent sees four
# numbers: the cart's place and speed, the pole's angle and how fast it turns. Each step pays 1. When the
# pole leans too far or the cart leaves its track, the episode has *terminated*. After 500 steps it is
# *truncated*: nothing has happened, we only stop looking.

# %%
poles = make_envs("CartPole-v1", 10)
print(poles.reset(seed=SEED)[0][0].round(3))

# %% [markdown]
# ## The naive way: a table
#
# Let a random agent act in ten environments for 200 steps each and count the different observations. A table learns about a cell
# when the cell comes again.

# %% tags=["nbval-check-output"]
rng, seen = np.random.default_rng(SEED), []
for _ in range(200):
    obs, reward, terminated, truncated, info = poles.step(rng.integers(2, size=10))
    seen.extend(obs[~(terminated | truncated)].tolist())
print(f"{len(seen):,} observations, {len(np.unique(seen, axis=0)):,} of them different")

# %% [markdown]
# No observation came twice, so the table would stay at its first guess for ever. Twenty bins for
# each number give $20^4 = 160{,}000$ cells for this toy. A shopper's history has more than four
# numbers.
#
# ## A function in place of the table
#
# Let a network $Q_\theta$ map an observation to one value per action. Similar observations then share
# what they learn. Chapter 7 showed the update of a table as a step down the slope of a squared error. The
# same step works for any $\theta$:
#
# $$L(\theta) = \frac{1}{B} \sum_{i=1}^{B} \big(y_i - Q_\theta(s_i, a_i)\big)^2,
# \qquad
# y_i = \begin{cases} r_i & \text{if } s'_i \text{ is terminal} \\
# r_i + \gamma \max_{a'} Q_{\theta^-}(s'_i, a') & \text{otherwise} \end{cases}$$
#
# $B$ transitions $(s, a, r, s')$ are drawn from a *replay*, a store of the last thousands of steps.
# $\theta^-$ is a copy of $\theta$ that lags behind, the *target network*. $y_i$ is a number and has no
# gradient. This is DQN: Mnih and others, first shown in 2013, in *Nature* in 2015.
#
# A document that this course started from describes DQN too. Its version, and what is right:
#
# | the document | in truth |
# |---|---|
# | $s' = s$, and $R$ = reward | $s'$ comes from the environment, or no credit passes on |
# | $y = r + \gamma \max Q$, always | $y = r$ where the episode has terminated |
# | $Q \leftarrow Q + \alpha (y - Q)$ | that is the table; a network moves $\theta$ along a gradient |
# | the target network is used, never set | copied at the start and every few hundred steps |
# | replay "balances exploration" | it mixes and reuses data; exploring is epsilon's job |
# | the target network tames exploding gradients | it holds the regression's target still |
# | superhuman on Pong and Q\*bert | on Pong; on Q\*bert about 78 % of the human score |
#
# ## By hand
#
# Three transitions, $r = 1$ and $\gamma = 0.9$. In $s'$ the target network says $(0, 5, 0)$.
#
# 1. An ordinary step: $y = 1 + 0.9 \cdot 5 = 5.5$.
# 2. The pole fell: $y = 1$.
# 3. Time was up, but the pole still stood: $y = 5.5$. The value of standing did not end with our looking.
#
# With $Q_\theta(s, \cdot) = (1, 2, 3)$ and $a = 1$ in each, the errors are 3.5, -1 and 3.5, and
# $L = (12.25 + 1 + 12.25) / 3 = 8.5$.
#
# ## The code

# %% tags=["include"]
# companion.{framework}.dqn: td_target

# %% [markdown]
# That is $y$. The loss compares it with the value of the action that was taken.

# %% tags=["include"]
# companion.{framework}.dqn: td_loss

# %% [markdown] tags=["pytorch"]
# `no_grad` makes $y$ a plain number for the slope. `gather` picks the value of the action that was taken,
# so the other actions get no slope at all. Filling a vector of targets with zeros for them, as many
# scripts do, would pull them to zero. `where` *chooses* the reward at an end; a product
# `(1 - terminated) * future` turns an infinite value into NaN.

# %% [markdown] tags=["tensorflow"]
# `stop_gradient` makes $y$ a plain number for the slope. `gather` picks the value of the action that was
# taken, so the other actions get no slope at all. Keras's `fit` with a vector of targets, zeros for the
# other actions, would pull them to zero. `where` *chooses* the reward at an end; a product
# `(1 - terminated) * future` turns an infinite value into NaN.

# %% [markdown]
# The same three transitions by the function. Only `terminated` decides about the future; that the third
# was truncated does not even reach the loss.

# %% tags=["pytorch", "nbval-check-output"]
# obs, action, reward, next_obs, terminated, discount, next_mask, weight
ends, zeros = torch.tensor([False, True, False]), torch.zeros(3, 4)
discount = torch.full((3,), 0.9)
three = Batch(zeros, torch.tensor([1, 1, 1]), torch.ones(3), zeros, ends, discount, None, None)
now, later = torch.tensor([[1.0, 2.0, 3.0]] * 3), torch.tensor([[0.0, 5.0, 0.0]] * 3)
loss, error = td_loss(lambda _: now, lambda _: later, three, DQNConfig())
print(error.tolist(), loss.item())

# %% tags=["tensorflow", "nbval-check-output"]
# obs, action, reward, next_obs, terminated, discount, next_mask, weight
ends, zeros = tf.constant([False, True, False]), tf.zeros([3, 4])
discount = tf.fill([3], 0.9)
three = Batch(zeros, tf.constant([1, 1, 1]), tf.ones(3), zeros, ends, discount, None, None)
now, later = tf.constant([[1.0, 2.0, 3.0]] * 3), tf.constant([[0.0, 5.0, 0.0]] * 3)
loss, error = td_loss(lambda _: now, lambda _: later, three, DQNConfig())
print(error.numpy().tolist(), loss.numpy().item())

# %% [markdown]
# ## Take the parts away
#
# The loop around the loss is short. Act in ten environments at once, store ten transitions, make the
# updates that are due, copy the target network when it is due. `Training` does it, with NumPy alone, for
# both frameworks.
#
# **Predict first.** We run DQN whole, and then without one part at a time. Which part will cost most?
#
# - *no replay*: the store holds the last ten steps only;
# - *no target network*: the copy follows at every step;
# - *no terminal mask*: a fallen pole is bootstrapped like any other step.

# %%
BASE = DQNConfig(updates_per_call=2, epsilon_steps=2_500)
TRIAL = make_envs("CartPole-v1", 10)


def without_mask(online, target, batch, config):  # wrong on purpose
    return td_loss(online, target, batch._replace(terminated=batch.terminated & False), config)


def curve(config, seed, loss=td_loss):
    """Mean return of 10 greedy episodes after each quarter of a run, and the value at rest."""
    learner = DQNLearner(config, obs_size=4, num_actions=2, seed=seed, loss=loss)
    training, points = Training(make_envs("CartPole-v1", 10), learner, seed=seed), []
    for _ in range(4):
        training.run(STEPS // 4)
        points.append(evaluate(greedy(learner.q_values), TRIAL, seed=seed).mean())
    return points, learner.q_values(np.zeros((1, 4), np.float32)).max()


# %% [markdown]
# `curve` scores the greedy policy on 10 new episodes four times in a run. It also asks what value the
# network gives to a pole that stands still.

# %%
variants = {
    "DQN": (BASE, td_loss),
    "no replay": (replace(BASE, capacity=10), td_loss),
    "no target network": (replace(BASE, sync_every=1), td_loss),
    "no terminal mask": (BASE, without_mask),
}
curves, values = {}, {}
for name, (config, loss) in variants.items():
    points, rest = zip(*(curve(config, SEED + run, loss) for run in range(RUNS)), strict=True)
    curves[name], values[name] = np.array(points), np.array(rest)  # [N, 4], [N]
lines = {name: learning.band(found, seed=SEED) for name, found in curves.items()}
places = np.arange(1, 5) * (STEPS // 4)
ax = figures.bands(lines, "Greedy return on CartPole", "steps", "return, 500 at most", places)

# %% [markdown]
# The lines are means over seeds, the bands 95 % bootstrap intervals, rough with so few seeds. The table has the last two points of each run, and the value at rest.

# %%
late = {name: found[:, -2:].mean(1) for name, found in curves.items()}  # [N] each
table = {name: [str(uplift.bootstrap_mean(found, seed=SEED))] for name, found in late.items()}
worth = {name: (1 - 0.99 ** found.mean()) / 0.01 for name, found in late.items()}
for name, found in values.items():
    table[name] += [f"{found.min():.0f} to {found.max():.0f}", f"{worth[name]:.0f}"]
    record(f"late return, {name}", late[name].mean())
assert late["no terminal mask"].mean() < 30 < 90 < late["DQN"].mean()
assert late["no replay"].mean() < 0.6 * late["DQN"].mean()
assert values["no terminal mask"].min() > worth["no terminal mask"]
assert values["no target network"].mean() > worth["no target network"]
pd.DataFrame(table, ["return late in the run", "value believed", "at most worth"]).T

# %% [markdown]
# Without the terminal mask nothing is learned: a fallen pole looks as good as a standing one. Without
# replay the network sees ten steps of the same moment and forgets the rest; its return stays far below
# DQN's.
#
# Without the target network the return looks fair, and that is the trap. An episode of $T$ steps is worth
# $(1 - 0.99^T) / 0.01$, the last column, and the network believes in more: each update moves its own
# target, and the values run away. (DQN's own value is still on its way up.) Look at the values too.
#
# ## Time is up is not the end
#
# A shop has two buttons. *Sell* pays now: 1 for a new customer, 5 for one who trusts the shop. *Please*
# pays nothing and raises trust by one level, up to 4. Nobody ever leaves, but the log is cut into
# sessions of 8 clicks. What is a new customer worth, with $\gamma = 0.95$?

# %%
outcomes = {(n, 0): [finite.Outcome(1.0, n, 5 if n == 4 else 1)] for n in range(5)}  # sell
outcomes |= {(n, 1): [finite.Outcome(1.0, min(n + 1, 4), 0.0)] for n in range(5)}  # please
mdp = finite.from_outcomes(outcomes, states=5, start=0, terminal=())
shop = gridworlds.World("trust", mdp, (1, 5), ("sell", "please"), ".....")
print(f"sell at once: {1 / (1 - 0.95):.1f}; best: {exact.optimal_q(mdp, 0.95)[0].max():.1f}")

# %% [markdown]
# Now two agents learn from sessions of 8 clicks. One knows that a cut session is only truncated. For the
# other, a wrapper reports the cut as the end: a mistake that many logs and many old scripts make, since
# both used to be one flag called `done`.


# %%
class Confused(gym.vector.VectorWrapper):
    def step(self, actions):
        obs, reward, terminated, truncated, info = self.env.step(actions)
        return obs, reward, terminated | truncated, truncated, info  # wrong on purpose


def customer(wrap, seed):
    """What the learned policy is really worth, and what the network believes."""
    config = replace(BASE, gamma=0.95, hidden_sizes=(32,), warmup=200, epsilon_end=0.2)
    learner = DQNLearner(config, obs_size=5, num_actions=2, seed=seed)
    Training(wrap(TableVectorEnv(10, shop, max_episode_steps=8)), learner, seed=seed).run(4_000)
    q = learner.q_values(np.eye(5, dtype=np.float32)).astype(float)  # [5, 2]
    policy = exact.greedy_policy(q)
    return exact.state_values(exact.policy_q(mdp, policy, 0.95), policy)[0], q[0].max()


worth = {}
for name, wrap in (("cut is cut", lambda envs: envs), ("cut is the end", Confused)):
    worth[name] = np.mean([customer(wrap, SEED + run) for run in range(RUNS)], axis=0)
assert worth["cut is cut"][0] > 60 > 30 > worth["cut is the end"][0]
pd.DataFrame(worth, ["true value of the policy", "value believed"]).T.round(1)

# %% [markdown]
# Both agents saw the same kind of sessions. The first has found the best policy, though its own estimate
# is still on the way up. The confused one believes that a customer is worth what fits
# into 8 clicks, so pleasing never pays, and it sells at once. Keep `terminated` and `truncated` apart
# from the first line of a project. No later step can do it.
#
# ## Improvements, and an honest look at them
#
# Four additions are known to help on Atari games. *Double DQN* lets the online network choose $a^*$ and
# the target network value it, against the bias of the maximum (chapter 7). *Dueling* networks split
# $Q = V + A - \bar A$. *n-step* targets sum $n$ rewards before they bootstrap. *Prioritised replay*
# draws transition $i$ with probability $P(i) = p_i^\alpha / \sum_k p_k^\alpha$, $p_i$ the size of its last
# error, and weighs its loss by $w_i = (N P(i))^{-\beta} / \max_k w_k$. To sort and take the largest, as
# the document proposes, has no such weights and would be biased.

# %%
added = replace(BASE, double=True, dueling=True, n_step=3, prioritized=True)
improved = np.array([curve(added, SEED + run)[0] for run in range(RUNS)])
gain = uplift.bootstrap_mean((improved - curves["DQN"])[:, -2:].mean(1), seed=SEED)
print("all four against plain DQN:", gain, "excludes" if gain.excludes_zero else "includes", "zero")

# %% [markdown]
# Believe the printed interval rather than the list of papers: it speaks for this problem and these few
# seeds. Each addition is a setting of `DQNConfig`: ask your own problem, with more seeds.
#
# ## Balance the pole
#
# Now train until it works, with Double DQN and an update every second step. DQN does not get better with
# each step: it forgets and learns again. So we score the policy every 2,500 steps on 50 *validation* episodes, keep the best moment, and stop when all
# are balanced to the end. The figure to report comes from 100 *other* episodes.

# %%
config = DQNConfig(double=True, train_every=2, updates_per_call=5, capacity=SOLVE_STEPS)
learner = DQNLearner(config, obs_size=4, num_actions=2, seed=SEED)
training = Training(make_envs("CartPole-v1", 10), learner, seed=SEED)
trial, fresh = make_envs("CartPole-v1", 50), make_envs("CartPole-v1", 100)


def score():
    return evaluate(greedy(learner.q_values), trial, seed=SEED + 1).mean()


scores = run_and_keep_best(training, score, num_steps=SOLVE_STEPS, every=2_500, enough=500)
test = evaluate(greedy(learner.q_values), fresh, seed=SEED + 2).mean()
print(f"{training.step:,} steps; mean of 100 new episodes: {test:.1f}")
record("CartPole, mean of 100 evaluation episodes", test)
assert test >= 475
ax = figures.curves({"validation": scores}, "Return of the greedy policy", "2,500 steps", "return")

# %% [markdown]
# CartPole counts as solved at a mean of 475 over 100 episodes.
#
# `learner.save(path)` writes arrays and settings, no code; `DQNLearner.load(path)` of either framework
# reads them.
#
# ## What makes it fast
#
# Most of an ordinary script's time goes into calls. So the loop steps ten environments and acts on all at once in
# NumPy, holds all weights in one array for Adam, and can make several updates in one call. One thread is
# right for such small networks: two wait for each other. `benchmarks/dqn.py --gains` takes one of these away
# at a time; on two cores it was slower by these factors:
#
# | | PyTorch | TensorFlow |
# |---|---|---|
# | one environment, not ten | 2.8 | 3.5 |
# | acting by a call into the framework | 1.1 | 1.9 |
# | Adam array by array | 1.3 | |
# | one update a call, not ten | 1.1 | 1.9 |
# | not compiled, ten updates a call | 1.5 | 1.2 |
#
# A hundred environments are faster still, but each update sees older data: over eight seeds the area under
# the curve fell by 43 [29, 56] of 238: a trade for dear steps.
#
# ## In the shop
#
# The *observation* is the shopper's history as a vector (chapters 3 and 4). An *action* is an item to
# show, and a *mask* takes out what must not be shown: DQN then neither chooses it nor bootstraps on it.
# The *reward* counts clicks and purchases. `terminated` means that the shopper has left; the end of the
# log is `truncated`.

# %% [markdown] tags=["lesson"]
# ## Recall
#
# 1. Why is $y$ held constant?
#    <details><summary>Answer</summary>The update moves Q(s, a) to the target, not both.</details>
# 2. What is replay for, and what is it not for?
#    <details><summary>Answer</summary>Mixing and reusing data; it does not explore.</details>
# 3. A session was cut at 30 minutes. Bootstrap or not?
#    <details><summary>Answer</summary>Bootstrap: it was truncated.</details>
# 4. How do you notice a missing target network when returns look fine?
#    <details><summary>Answer</summary>Values exceed what rewards allow.</details>
# 5. Why is the best validation score not the figure to report?
#    <details><summary>Answer</summary>It was chosen as the highest; new episodes are needed.</details>

# %% [markdown] tags=["lesson"]
# ## Exercise 9.1
#
# The target of Double DQN in NumPy: the online network chooses, the target network values. Mind the end.


# %% tags=["lesson"]
def double_target(reward, terminated, gamma, next_online, next_target):
    """[B], [B] bool, float, [B, A], [B, A] -> [B]"""
    # solution
    best = next_online.argmax(1)
    future = next_target[np.arange(len(best)), best]
    return reward + gamma * np.where(terminated, 0.0, future)


check("09.1", double_target)

# %% [markdown] tags=["lesson"]
# ## Exercise 9.2
#
# An episode's rewards are known up to its end. Give the target of its first step for $n$-step DQN:
# `rewards` are the (up to) $n$ rewards, `value` is $\max Q$ at the state after them, and `terminated`
# says whether the episode has ended there.


# %% tags=["lesson"]
def n_step_target(rewards, value, terminated, gamma):
    """[m] rewards, number, bool, number -> number"""
    # solution
    total = 0.0 if terminated else gamma ** len(rewards) * value
    return total + sum(gamma**k * reward for k, reward in enumerate(rewards))


check("09.2", n_step_target)

# %% [markdown] tags=["lesson"]
# ## Exercise 9.3
#
# Prioritised replay: from the priorities of all stored transitions give the draw probabilities and the
# importance weights, the largest of which is 1.


# %% tags=["lesson"]
def probabilities_and_weights(priorities, alpha, beta):
    """[N], number, number -> [N] probabilities, [N] weights"""
    # solution
    probabilities = priorities**alpha / (priorities**alpha).sum()
    weights = (len(priorities) * probabilities) ** -beta
    return probabilities, weights / weights.max()


check("09.3", probabilities_and_weights)

# %% [markdown]
# ## Summary
#
# - DQN is the table's update as a gradient step: a still target, mixed data, the taken action alone.
# - Each part can be taken away, and the damage shows in the return, or only in the values.
# - A true end stops the future; a time limit does not.
#
# **Next:** chapter 10 puts these agents into one shop, beside a bandit and the simple habits.
#
# References: Mnih et al., "Human-level control through deep reinforcement learning" (2015). van Hasselt,
# Guez and Silver, "Deep reinforcement learning with double Q-learning" (2016). Schaul et al.,
# "Prioritized experience replay" (2016). Wang et al., "Dueling network architectures" (2016). Pardo et
# al., "Time limits in reinforcement learning" (2018).
