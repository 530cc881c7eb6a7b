# %% [markdown]
# # 7 · Q-Learning
#
# **Question.** What you do now changes what can happen next. How can an agent learn what an action is worth
# in the long run, from its own experience alone?
#
# ~35 min · needs Python and NumPy · runs in under a minute on two CPU cores
#
# Afterwards you can write the Q-Learning update, end an episode rightly, explore with epsilon-greedy, test an agent
# while it learns and after, and see a table as a layer of a network.

# %% tags=["parameters"]
SEED = 0
RUNS = 100  # seeds of the cliff; 10 and 20 times as many bandits and chains; a report may take 200
EPISODES = 500

# %% tags=["pytorch"]
import gymnasium
import numpy as np
import torch

from companion.course.answers import check
from companion.envs import exact, gridworlds
from companion.metrics import learning
from companion.plots import figures
from companion.pytorch.runtime import setup
from companion.reports.record import record
from companion.rl import bandits, loops, tab_methods
from companion.rl.explore import epsilon_greedy, highest
from companion.rl.tab_config import TabularConfig
from companion.rl.tabular import Rates, Step

runtime = setup(SEED)

# %% tags=["tensorflow"]
import gymnasium
import numpy as np

from companion.course.answers import check
from companion.envs import exact, gridworlds
from companion.metrics import learning
from companion.plots import figures
from companion.reports.record import record
from companion.rl import bandits, loops, tab_methods
from companion.rl.explore import epsilon_greedy, highest
from companion.rl.tab_config import TabularConfig
from companion.rl.tabular import Rates, Step
from companion.tensorflow.runtime import setup

import tensorflow as tf

runtime = setup(SEED)

# %% [markdown]
# ## A walk beside a cliff
#
# Walk from S to G. A step costs 1. A step into the cliff C costs 100 and puts you back to S. Only G ends the
# episode. Here are five random steps, under a time limit of five.

# %% tags=["nbval-check-output"]
world = gridworlds.cliff()
print(world.draw())
env = gymnasium.make("companion/Cliff-v0", max_episode_steps=5)
obs, _ = env.reset(seed=SEED)
for action in np.random.default_rng(SEED).integers(4, size=5).tolist():
    next_obs, reward, terminated, truncated, _ = env.step(action)
    print(obs, world.actions[action], reward, next_obs, f"{terminated=} {truncated=}")
    obs = next_obs

# %% [markdown]
# The observation is the number of a cell, row by row; S is 36. `terminated` says that the world came to an end: nothing
# follows. `truncated` says that *we* stopped looking. The walker still stands somewhere, and that place has a value.
#
# ## The naive way
#
# Keep a table with a row for each state and a column for each action. Note in it the mean reward of each pair, and
# take the best. A shop that ranks by the chance of a click does this.

# %%
mdp, seeds = world.mdp, range(SEED, SEED + RUNS)


def myopic(q, step, rates):  # the new value of Q(S, A): a running mean of its rewards
    return q[step.state, step.action] + rates.alpha * (step.reward - q[step.state, step.action])


naive = loops.run(mdp, myopic, TabularConfig(episodes=100), seeds[:3], compiled=False)
print("best value at the edge, far from G and near it:", naive.q[0, [25, 34]].max(axis=1).round(2))
print("steps an episode, 50 by 50:", *naive.lengths.reshape(-1, 50).mean(axis=1).round())
assert naive.lengths[:, 50:].mean() > 300

# %% [markdown]
# It learns to keep off the cliff, and nothing else. Every other step brought -1, so near the goal looks like far from
# it. All three runs stroll for hundreds of steps, to the last. The value of a step lies in where it leads.
#
# ## What an action is worth
#
# An action is worth what it brings now, plus what the best action is worth where it leads. A *guess* there gives a
# better guess here: this is called *bootstrapping*. The cell beside the goal learns first, then its neighbour: news
# travels back.
#
# $$q_*(s,a) = \sum_{s',\,r} p(s', r \mid s, a)\,\bigl[\,r + \gamma \max_{a'} q_*(s', a')\,\bigr]$$
#
# $q_* \in \mathbb{R}^{S \times A}$ holds, for $S$ states and $A$ actions, the return if all later actions are the best;
# $p$ is the probability of next state $s'$ and reward $r$; $\gamma$, from 0 to 1, discounts each step.
# (Book equation 3.20.) A document that this course started from prints
#
# $$Q(s,a) = \sum_{s'} P(s' \mid s,a)\,R(s,a) + \gamma \max_{a'} Q(s',a')$$
#
# Its sum ends before the $\max$, and $s'$ is left over. By hand: an action brings 1 and leads to one of
# two states, as a coin falls. Their best values are 0 and 10, and $\gamma=0.9$.

# %% tags=["nbval-check-output"]
chance, best_next = np.array([0.5, 0.5]), np.array([0.0, 10.0])  # [S'] each
print(f"book:     {chance @ (1 + 0.9 * best_next):.1f}")
print("document:", (chance * 1).sum() + 0.9 * best_next, "which?")  # wrong on purpose

# %% [markdown]
# The book's answer is the mean over both. The document's depends on which $s'$ one has in mind.
#
# An agent does not know $p$. But each of its steps *is* a draw from $p$, so let it move a little towards what the draw
# says. This is Q-Learning, from the thesis of Chris Watkins (1989). (The document says Sutton and "Alvin
# Allen", 1982. Sutton's co-author is Andrew Barto.)
#
# $$Q(S,A) \leftarrow Q(S,A) + \alpha\,\bigl[\,R + \gamma \max_{a} Q(S',a) - Q(S,A)\,\bigr]$$
#
# $Q \in \mathbb{R}^{S \times A}$ is the table, $\alpha$ the step size, from 0 to 1, and $R + \gamma \max_a Q(S',a)$ the
# *target*. If $S'$ ends the episode, nothing follows, and the target is $R$.
#
# By hand: $Q(S,A)=0$, $R=1$, the row of $S'$ is $(3, 2)$, $\gamma=0.9$, $\alpha=0.5$. The target is
# $1 + 0.9 \cdot 3 = 3.7$ and the new value $0 + 0.5\,(3.7 - 0) = 1.85$. If $S'$ is an end, the target is 1
# and three updates give 0.5, 0.75, 0.875.

# %% tags=["include"]
# companion.rl.tabular: q_learning

# %% [markdown]
# `highest` is the largest number of a row. The row of an end is never read. The `if` asks for `terminated` alone: after
# a truncation there is a next state to look at. The same numbers, and an end whose row *is* read:

# %% tags=["nbval-check-output"]
small = np.array([[0.0, 0.0], [3.0, 2.0]])  # [S, A]
half = Rates(alpha=0.5, gamma=0.9, epsilon=0.1)
going, ending = Step(0, 0, 1.0, 1, -1, False), Step(0, 0, 1.0, 1, -1, True)
print(f"goes on: {q_learning(small, going, half):.2f}")
for name, step in (("ends", ending), ("ends, but is read", going)):  # wrong on purpose
    table = np.array([[0.0], [5.0]])  # [S, A], an end whose row was started at 5
    for _ in range(3):
        table[0, 0] = q_learning(table, step, half)
    print(f"{name}: {table[0, 0]} after three updates")

# %% [markdown]
# Reading it gave 4.8125 instead of 0.875, on the way to 5.5 instead of 1. With rows that start at 0 the fault hides.
#
# ## A table is a layer
#
# An embedding layer with $S$ rows of $A$ numbers *is* this table. Take the loss $\frac12 (y - Q(S,A))^2$ with the target
# $y$ held constant. Its gradient is $-(y - Q(S,A))$ in one place and 0 elsewhere, so one step of gradient
# descent with rate $\alpha$ is the update above.

# %% tags=["pytorch"]
after = {}
for held in (True, False):
    layer = torch.nn.Embedding.from_pretrained(torch.tensor(small), freeze=False)  # [S, A]
    sgd = torch.optim.SGD(layer.parameters(), lr=half.alpha)
    y = going.reward + half.gamma * layer(torch.tensor(going.next_state)).max()
    y = y.detach() if held else y
    loss = 0.5 * (y - layer(torch.tensor(going.state))[going.action]) ** 2
    loss.backward()
    sgd.step()
    after[held] = layer.weight.detach().numpy()

# %% tags=["tensorflow"]
after = {}
for held in (True, False):
    layer = tf.keras.layers.Embedding(2, 2, weights=[small], dtype="float64")  # [S, A]
    sgd = tf.keras.optimizers.SGD(half.alpha)
    with tf.GradientTape() as tape:
        y = going.reward + half.gamma * tf.reduce_max(layer(tf.constant(going.next_state)))
        y = tf.stop_gradient(y) if held else y
        loss = 0.5 * (y - layer(tf.constant(going.state))[going.action]) ** 2
    sgd.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)
    after[held] = layer.get_weights()[0]

# %% [markdown] tags=["pytorch"]
# `detach()` is the line that matters: it gives the target's number without its history. `from_pretrained` freezes the
# table unless it is told not to. All is float64, for an exact comparison.

# %% [markdown] tags=["tensorflow"]
# `stop_gradient` is the line that matters: it gives the target's number without its history. The tape records what
# stands in the `with` block. All is float64, for an exact comparison.

# %% tags=["nbval-check-output"]
assert abs(after[True][0, 0] - q_learning(small, going, half)) < 1e-12
print("held:    ", after[True].round(4).tolist())
print("not held:", after[False].round(4).tolist())

# %% [markdown]
# Held, the layer does what the function does: 1.85, and the row of $S'$ stays. Not held, the step also pulls the 3 of
# $S'$ down to 1.335. Chapter 9 puts a network here and keeps the rest.
#
# ## Who chooses the actions?
#
# The document says: the best one in the table, greedily. But a table knows nothing of what was never tried. The remedy
# is *epsilon-greedy*: with probability $\epsilon$ any action, otherwise the best. And if several are best? Here is the
# whole algorithm, in a maze where only the goal pays. (The document announces such code and prints none.)


# %%
def episode(env, q, choose, rng):
    obs, _ = env.reset()
    terminated = truncated = False
    while not (terminated or truncated):
        action = choose(q[obs], 0.1, rng)
        next_obs, reward, terminated, truncated, _ = env.step(action)
        step = Step(obs, action, reward, next_obs, -1, terminated)
        q[obs, action] = q_learning(q, step, Rates(alpha=0.5, gamma=0.95, epsilon=0.1))
        obs = next_obs
    return terminated


def first_best(q_row, epsilon, rng):
    return rng.integers(4) if rng.random() < epsilon else np.argmax(q_row)  # wrong on purpose


maze, arrived = gymnasium.make("companion/DynaMaze-v0", max_episode_steps=2_000), []
for choose in (first_best, epsilon_greedy):
    q, rng = np.zeros((54, 4)), np.random.default_rng(SEED)
    arrived.append(sum(episode(maze, q, choose, rng) for _ in range(20)))
    print(f"{choose.__name__}: {arrived[-1]} of 20 arrive, highest value {q.max():.2f}")
assert arrived[0] == 0 < 15 < arrived[1]

# %% [markdown]
# `argmax` gives the *first* of equal values. In a table of zeros that is "up", for ever: in 40,000 steps it never
# reaches the goal, and learns nothing. `epsilon_greedy` draws among equals.
#
# How much exploring is right? The ten-armed testbed has no states: ten arms with hidden mean rewards, and 1,000
# pulls.

# %%
played, last = {}, []
for epsilon in (0.0, 0.01, 0.1):
    run = bandits.run_testbed(bandits.BanditConfig(epsilon=epsilon), runs=10 * RUNS, seed=SEED)
    last.append([run.reward[-100:].mean(), run.best_action[-100:].mean()])
    played[f"epsilon {epsilon}"] = [100 * learning.smooth(run.best_action, 100)[99::100]] * 3
print("reward and share of the best arm, last 100 pulls:", *np.round(last, 2))
assert np.all(np.abs(np.subtract(last, [[1.02, 0.35], [1.32, 0.6], [1.37, 0.8]])) < [0.09, 0.06])
record("testbed, reward and share of the best arm", dict(zip(played, last, strict=True)))
_ = figures.bands(played, "Best arm pulled", "pull", "% of problems", np.arange(100, 1_001, 100))
# %% [markdown]
# Greedy settles on an arm that began well. It finds the best one in about one problem of three and earns about 1.0 a
# pull. Epsilon 0.1 pulls it 80 % of the time and earns about 1.4. Epsilon 0.01 is slower, at 60 % and rising. (Book
# figure 2.2.)
#
# ## Training
#
# Back to the cliff, with the book's settings: $\alpha=0.5$, $\gamma=1$, $\epsilon=0.1$, a new table for each seed.
# `loops.run` is the loop above, compiled by Numba. Plain Python must give the same table to the last digit; the
# speeds stand in `benchmarks/tabular.py`.

# %%
config = TabularConfig(alpha=0.5, gamma=1.0, epsilon=0.1, episodes=EPISODES)
learnt = loops.run(mdp, q_learning, config, seeds)
plain = loops.run(mdp, q_learning, config, seeds[:2], compiled=False)
assert np.array_equal(plain.q, learnt.q[:2])
late = learnt.returns[:, -100:].mean(axis=1, keepdims=True)  # [N, 1]
mean, low, high = np.ravel(learning.band(late, seed=SEED))
greedy = {loops.greedy_return(mdp, table).total for table in learnt.q}
print(f"on-line: {mean:.1f}, 95 % from {low:.1f} to {high:.1f}; greedy: {greedy}")
record("on-line return", mean, label="return while learning", interval=(low, high))
record("greedy return", max(greedy), label="return of the greedy path")
assert (greedy, abs(mean + 49.5) < 3) == ({-13.0}, True)
curve = {"Q-Learning": learning.band(learning.smooth(learnt.returns, 20)[:, 19::20], seed=SEED)}
title, every = "Earned while learning, with 95 % intervals", np.arange(20, EPISODES + 1, 20)
_ = figures.bands(curve, title, "episode", "return, mean of 20", every).set_ylim(-120, 0)
# %% [markdown]
# Two numbers, and both are right. *On-line*, while it explores, the agent earns about -50 late in its training. Every one
# of its tables, followed *greedily*, walks the shortest way: -13. The table is about the best that could be done; the
# agent that fills it slips at times. This is *off-policy*. Is the table right?

# %%
q_star = exact.optimal_q(mdp, 1.0)  # [S, A] from Bellman's equations, which know p
gap = np.abs(learnt.q.max(axis=2) - q_star.max(axis=1)).mean(axis=0)  # [S]
print(f"best value, mean error: at S {gap[36]:.3f}, in the top left corner {gap[0]:.2f}")
assert gap[36] < 0.05 < 1.2 < gap[0] < 2.2
best = learnt.q.mean(axis=0)  # [S, A]
values, arrows = best.max(axis=1), np.array(list("↑→↓←"))[best.argmax(axis=1)]
values[37:47], marks = np.nan, dict.fromkeys(range(37, 47), "C") | {47: "G"}
_ = figures.grid(values.reshape(4, 12), "Mean table", arrows=arrows, marks=marks, label="return")
# %% [markdown]
# From S the arrows go up once and then along the edge. There the table has found $q_*$. In the top left corner it is
# wrong by more than 1: the agent hardly ever goes there. A table is right where there was experience.
#
# ## What breaks it: the wrong way round
#
# The document says of SARSA and DQN: "with probability $1-\epsilon$ a random action, with $\epsilon$ the best". **Predict
# first:** $\epsilon$ stays 0.1. What will it earn, and where does its greedy path lead?

# %%
inverted = TabularConfig(epsilon=1 - 0.1, episodes=100, max_steps=3_000)  # wrong on purpose
upside_down = loops.run(mdp, q_learning, inverted, seeds[:20])
walks = {loops.greedy_return(mdp, table).total for table in upside_down.q}
print(f"on-line: {upside_down.returns.mean():,.0f}; greedy: {walks}")
record("on-line return, epsilon upside down", upside_down.returns.mean())
assert (walks, -14_000 < upside_down.returns.mean() < -7_000) == ({-13.0}, True)

# %% [markdown]
# It loses some 200 times as much (3,000 steps cut it off), and its table is perfect: -13. Q-Learning learns the best
# from watching nonsense. A test of the greedy path passes; only what is earned on-line shows the fault.
#
# ## What breaks it: greed, and the value it starts from
#
# Now no exploring at all, as in the document's steps: $\epsilon=0$, with $\gamma=0.9$. **Predict first:** how many of
# 20 agents find a way if the table starts at 0? And at -1,000, as low as a return can get?

# %%
found = []
for initial in (0.0, -1_000.0):
    timid = TabularConfig(gamma=0.9, epsilon=0.0, episodes=100, max_steps=1_000, initial_q=initial)
    found.append(sum(~loops.run(mdp, q_learning, timid, seeds[:20]).truncated[:, -1]))
    print(f"started at {initial:,.0f}: {found[-1]} of {len(seeds[:20])} arrive")
assert found == [len(seeds[:20]), 0]

# %% [markdown]
# All, and none. All rewards are below 0, so a start at 0 is a promise: whatever was tried disappoints, and
# the agent tries the rest. From -1,000 the first thing tried looks splendid, be it bumping into a wall, and is done for
# ever. Greedy worked by accident.
#
# ## What breaks it: the best of many noisy guesses
#
# The document also says that Q-Learning "falls into local optima" and is short-sighted. But the $\max$ *is* the long
# run, and a table that tries everything ends at the best (below). The real weakness is that $\max$. In the chain
# `T B A T` one starts at A. Right ends it with 0. Left leads to B, where each of ten arms ends it with a reward around
# -0.1 (standard deviation 1). Left is a mistake; $\epsilon=0.1$ makes 5 % of it unavoidable.

# %%
chain, many = gridworlds.maximisation_bias().mdp, range(SEED, SEED + 20 * RUNS)
short, left = TabularConfig(alpha=0.1, epsilon=0.1, episodes=300), {}
for name, method in (("Q-Learning", q_learning), ("Double Q-Learning", tab_methods.double())):
    chosen = loops.run(chain, method, short, many).first_actions  # [N, E]
    share = 100 * (chosen == 0).mean(axis=0)  # [E] in %
    left[name] = learning.band(learning.smooth(100 * (chosen == 0), 20)[:, 19::20], seed=SEED)
    print(f"{name}: left at most {share.max():.0f} %, in episode 300 {share[-1]:.1f} %")
    record(f"left in episode 300, {name}", share[-1], unit="%")
title, every = "How often the mistake is made, mean of 20", np.arange(20, 301, 20)
_ = figures.bands(left, title, "episode", "left, % of runs", every).axhline(5, color=figures.PALE)
single, double = (band.middle for band in left.values())
assert 4 < double[-1] < 9 < single[-1] < 16 < double.max() < 60 < 90 < single.max()
# %% [markdown]
# Of ten guesses around -0.1, the largest is lucky and above 0. So left looks good, and at the peak nine agents in ten or
# more go there. After 300 episodes it is still about twice the unavoidable 5 % (grey). *Double Q-Learning* (van Hasselt 2010)
# keeps two tables. One chooses the best arm, the other says what it is worth: they are not lucky with the same arm.
#
# The bias is not for ever. Watkins and Dayan proved in 1992 that $Q$ reaches $q_*$ if every pair is tried on and on, with
# steps that become small, but not too soon. Here all actions are random:

# %%
episodes, error = 100_000, []
pairs = chain.allowed & ~chain.terminal[:, None]
truth = exact.optimal_q(chain, 1.0)[pairs]
for alpha in (0.1, 1 / np.arange(1, episodes + 1) ** 0.7):  # constant; falling
    long = TabularConfig(alpha=alpha, epsilon=1.0, episodes=episodes)
    tables = loops.run(chain, q_learning, long, seeds[:10]).q
    error.append(np.abs(tables[:, pairs] - truth).max())
    print(f"left is worth {tables[:, 2, 0].mean():.2f}, largest error of all {error[-1]:.2f}")
assert error[1] < 0.1 < 0.3 < error[0]

# %% [markdown]
# The truth is -0.10. With a constant step the noise stays, and left looks *positive*. With falling steps $q_*$ appears,
# from random acting alone. And these rewards are uncertain: the document errs in keeping Q-Learning for certain worlds.
#
# ## In the shop
#
# The *state* is what is known of a shopper, say the last five items looked at. The *action* is an item to show, the
# *reward* 1 for a purchase. The naive learner cannot see that a dull item may lead to a basket, and a lurid one to the
# exit.
#
# With 10,000 items there are $10{,}000^5 = 10^{20}$ states. Hardly a state comes twice, and a row learns nothing
# from its neighbours. A network can: chapter 9.

# %% [markdown] tags=["lesson"]
# ## Recall
#
# 1. What stands in the target after the end of an episode?
#    <details><summary>Answer</summary>R alone: nothing follows.</details>
# 2. Why is Q-Learning called off-policy?
#    <details><summary>Answer</summary>It learns about the greedy policy while another one acts.</details>
# 3. Why draw among equal values?
#    <details><summary>Answer</summary>argmax takes the first for ever, and zeros stay zeros.</details>
# 4. Which test finds an epsilon that is upside down?
#    <details><summary>Answer</summary>The on-line return; the greedy path looks perfect.</details>
# 5. Where does the maximisation bias come from?
#    <details><summary>Answer</summary>The largest of noisy guesses is, on average, too large.</details>

# %% [markdown] tags=["lesson"]
# ## Exercise 7.1
#
# The new value of $Q(S,A)$. `next_row` holds $Q(S', a)$ for every action; after the end it may hold anything.


# %% tags=["lesson"]
def new_value(old, reward, next_row, terminated, alpha, gamma):  # -> number
    # solution
    target = reward if terminated else reward + gamma * np.max(next_row)
    return old + alpha * (target - old)


check("07.1", new_value)

# %% [markdown] tags=["lesson"]
# ## Exercise 7.2
#
# The probability of each action under epsilon-greedy. Several may be best and share alike. Exploring picks any action,
# the best too.


# %% tags=["lesson"]
def probabilities(q_row, epsilon):  # [A] -> [A]
    # solution
    best = q_row == q_row.max()
    return epsilon / len(q_row) + (1 - epsilon) * best / best.sum()


check("07.2", probabilities)

# %% [markdown] tags=["lesson"]
# ## Exercise 7.3
#
# The target of Double Q-Learning. `q` [S, A] is the table to be changed, `other` [S, A] the second one.


# %% tags=["lesson"]
def double_target(q, other, reward, next_state, terminated, gamma):  # -> number
    # solution
    chosen = np.argmax(q[next_state])
    return reward if terminated else reward + gamma * other[next_state, chosen]


check("07.3", double_target)

# %% [markdown]
# ## Summary
#
# - Q-Learning moves $Q(S,A)$ towards $R + \gamma \max_a Q(S',a)$, and towards $R$ alone at the end.
# - It learns the best policy from any behaviour that tries everything; what is earned meanwhile is another number.
# - Ties, exploration and the maximum of noisy guesses break it; each has a remedy.
#
# **Next:** chapter 8, SARSA, learns the value of what the agent really does.
#
# **References.** Watkins (1989), *Learning from delayed rewards*, PhD thesis, Cambridge · Watkins & Dayan (1992),
# *Q-learning*, Machine Learning 8 · van Hasselt (2010), *Double Q-learning*, NIPS 23 · Sutton & Barto (2018),
# *Reinforcement Learning*, 2nd ed., chapters 2, 3, 6
