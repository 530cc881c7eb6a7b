# %% [markdown]
# # 1 · Recommendation as a decision problem
#
# **Question.** A shop shows a page, a shopper clicks or leaves, and then comes the next page. Who decides what here, on
# what knowledge, and for what? And when is a model large?
#
# ~35 min · needs Python and a little probability · runs in under a minute on two CPU cores
#
# Afterwards you can name agent, environment, state, action, reward and policy in a shop, say what its log does not
# show, tell an end from a cut, and work out a model's parameters, memory and operations.

# %% tags=["parameters"]
SEED = 0
SHOPPERS = 400  # stepped together
PAGES = 50  # shown to each

# %% tags=["pytorch"]
import math
from dataclasses import replace
from itertools import pairwise

import gymnasium
import numpy as np
import pandas as pd

from companion.course.answers import check
from companion.course.model_table import course_models, known_models, readable, size_table
from companion.envs.assumptions import assumptions
from companion.envs.policies import Choice, RandomPolicy, ScorePolicy, play
from companion.envs.shop import ShopConfig, ShopVectorEnv, layout, load_world
from companion.envs.shopper import boredom_presets
from companion.metrics import learning, uplift
from companion.metrics.model_size import KNOWN, PUBLISHED, Transformer, size_of
from companion.plots import figures
from companion.pytorch import DQNLearner, PolicyGradientLearner, setup
from companion.recommenders.click_model import click_policy, collect, fit_click_model
from companion.recommenders.shop_features import PairFeatures
from companion.recommenders.shop_policies import own_frequency_policy, popularity_policy
from companion.reports.record import record
from companion.rl.dqn import DQNConfig
from companion.rl.policy_gradient import actor_critic
from companion.rl.policy_gradient_training import PolicyTraining
from companion.rl.shop_tabular import ShopTable, ShopTableConfig

runtime = setup(SEED)

# %% tags=["tensorflow"]
import math
from dataclasses import replace
from itertools import pairwise

from companion.tensorflow import DQNLearner, PolicyGradientLearner, setup

import gymnasium
import numpy as np
import pandas as pd

from companion.course.answers import check
from companion.course.model_table import course_models, known_models, readable, size_table
from companion.envs.assumptions import assumptions
from companion.envs.policies import Choice, RandomPolicy, ScorePolicy, play
from companion.envs.shop import ShopConfig, ShopVectorEnv, layout, load_world
from companion.envs.shopper import boredom_presets
from companion.metrics import learning, uplift
from companion.metrics.model_size import KNOWN, PUBLISHED, Transformer, size_of
from companion.plots import figures
from companion.recommenders.click_model import click_policy, collect, fit_click_model
from companion.recommenders.shop_features import PairFeatures
from companion.recommenders.shop_policies import own_frequency_policy, popularity_policy
from companion.reports.record import record
from companion.rl.dqn import DQNConfig
from companion.rl.policy_gradient import actor_critic
from companion.rl.policy_gradient_training import PolicyTraining
from companion.rl.shop_tabular import ShopTable, ShopTableConfig

runtime = setup(SEED)

# %% [markdown]
# ## One shopper
#
# This shop is simulated. Its products and households come from a grocery chain's log, its shoppers' behaviour from
# published figures. One shopper comes in and is shown pages of four products: those that her household bought most.

# %%
world = load_world()
known = world.source == "complete-journey"  # the figures in the text are this log's
record("data", world.source)


def page_for(info):
    scores = world.bought[info["user"]] + world.popularity  # [I]
    return np.argsort(-np.where(info["action_mask"], scores, -1.0))[:4]


env = gymnasium.make("companion/Shop-v0", world=world, slate_size=4)
obs, info = env.reset(seed=3)
rows, terminated, truncated = [], False, False
while not (terminated or truncated):
    visit, page, items = info["visit"] + 1, info["page"] + 1, page_for(info)
    obs, reward, terminated, truncated, info = env.step(items)
    did = [name for name in ("click", "cart", "purchase") if info[name].any()]
    item = world.names[items[info["position"]]] if did else ""
    rows.append((visit, page, " + ".join(did), item, reward))
print(f"{terminated=}, {truncated=}; pages that she might have seen: {math.perm(500, 4):,}")
pd.DataFrame(rows, columns=["visit", "page", "what happened", "with what", "reward"])

# %% [markdown]
# A click may lead to the cart, and the cart to a purchase. After some pages without a click she leaves, and comes back
# days later or never. All the words of reinforcement learning are in these lines.
#
# | word | here | in the code |
# |---|---|---|
# | agent | the program that recommends | `page_for` |
# | environment | the shopper, and the rules of the shop | `env` |
# | action | a whole page, in its order | `items` |
# | reward | 0.2 for a click, 1 more for a purchase: the *shop's* choice | `reward` |
# | observation | what the shop's log knows of her at this moment | `obs`, `info` |
# | state | all that decides what may come next, known or not | `env.unwrapped.hidden()` too |
# | policy | the rule from observation to action | `page_for` again |
#
# A document that this course started from has the same list. It calls the user's context and history the *state*. That is
# the observation. It calls the action "the product". But a page is a choice with an order: 62 billion pages of four can be
# made of 500 products. No table has a column for each, so chapter 10 cuts a page into pieces.
#
# ## What a log does not see
#
# In how many of 2,000 shoppers is today's strongest interest another topic than the one that the household bought most?

# %%
crowd = ShopVectorEnv(2_000, world)
observed, _ = crowd.reset(seed=SEED)
bought = observed[:, layout(ShopConfig(), world)["bought"]]  # [N, C]
elsewhere = (bought.argmax(axis=1) != crowd.hidden().interest.argmax(axis=1)).mean()
print(f"another topic than the log's favourite: {100 * elsewhere:.0f} %")
record("interest elsewhere", 100 * elsewhere, unit="%")
assert not known or 0.3 < elsewhere < 0.45

# %% [markdown]
# In more than three of ten. The log does not tell. An agent can only show something and watch, so an action has two
# uses: it earns, and it *asks*. (Decisions on part of the state are called *partially observed*.)
#
# ## The naive way
#
# The second gap of a log is larger. Take a shop that always showed its bestsellers. Count the clicks of each product per
# time shown, and from now on show the ten best.

# %%
shown, clicked = np.zeros(world.num_items), np.zeros(world.num_items)


def count(obs, slate, info):
    np.add.at(shown, slate.items, 1)
    np.add.at(clicked, slate.items, info["click"])


ten = Choice(slate_size=10)
bestsellers, own = popularity_policy(world, ten), own_frequency_policy(world, ten)
play(ShopVectorEnv(SHOPPERS, world), bestsellers, steps=PAGES, seed=SEED, watch=count)
rate = clicked / np.maximum(shown, 1)  # wrong on purpose: never shown counts as never liked
naive = ScorePolicy("naive", lambda obs, info: rate, ten)
print(f"of {world.num_items} products the log has shown {np.sum(shown > 0)}")

# %% [markdown]
# The log is silent about nearly all products, and the naive rule takes silence for dislike. It will show the same few for
# ever. Here it stands beside others, on new shoppers, the same for all. *Own frequency* shows what the household bought
# most.


# %%
def earned(policy, **settings):  # what it earned, by page and shopper: [T, N] each
    envs = ShopVectorEnv(SHOPPERS, world, **settings)
    return play(envs, policy, steps=PAGES, seed=SEED + 1, learn=False)


four = (RandomPolicy(10), naive, bestsellers, own)
found = {policy.name: earned(policy).reward.mean(axis=0) for policy in four}  # [N] each
table = uplift.comparison(found, "popularity", seed=SEED)
earning = table[["mean", "low", "high"]].rename(columns={"mean": "reward a page"})
record("reward a page", earning.reset_index(names="policy"))
_ = figures.intervals(earning, "What a policy earns; the same shoppers for all")
assert not known or np.all(abs(table["mean"] - [0.043, 0.072, 0.07, 0.106]) < 0.008)
# %% [markdown]
# Random pages earn about 0.04, the bestsellers about 0.07. The naive rule earns hardly more: its log held little else. Counting *whose* purchases they were brings about 0.11. Whatever learns later must beat this line.
#
# ## For what? The return
#
# A policy $\pi(a \mid o)$ gives the probability of each action $a$, given the observation $o$. It is judged by the
# *return*, the sum of rewards from here on, each step discounted by $\gamma$ between 0 and 1:
#
# $$G_t = R_{t+1} + \gamma\,G_{t+1} \qquad\text{and}\qquad J(\pi) = \mathbb{E}_\pi[G_0]$$
#
# $R_{t+1}$ is the reward of page $t$, $G_t$ a number, and $J(\pi)$ its mean over shoppers and chance, which the agent is to
# make large. With $\gamma = 0$ only this page counts: that is a *greedy*, or myopic, recommender.
#
# What stands at the end? *Terminated*: nothing follows, $G = 0$. She left for ever, or it was her fifth visit, declared
# the last. *Truncated*: we stopped looking, after 50 pages, and what would have followed has a value.
#
# By hand, rewards 0.2, 0, 1.2 and $\gamma = 0.9$. If she left: $0.2 + 0.9 \cdot 0 + 0.81 \cdot 1.2 = 1.172$. If we
# stopped looking, and shoppers like her are worth 2 more: $1.172 + 0.729 \cdot 2 = 2.63$.

# %% tags=["nbval-check-output"]
rewards, gamma = np.array([0.2, 0.0, 1.2]), 0.9
ended = (gamma ** np.arange(3) * rewards).sum()
print(f"she left: {ended:.3f}    we stopped looking: {ended + gamma**3 * 2:.3f}")

# %% [markdown]
# ## What breaks it: a cut taken for an end
#
# **Predict first.** With own frequency a shopper earns about 2.3 within 50 pages. An agent that looks at 5 pages, and
# takes the cut for an end, believes in how much?


# %%
def first_episode(horizon):  # the mean return of each shopper's first episode, undiscounted
    one = earned(own, horizon=horizon)
    ended = one.terminated | one.truncated  # [T, N]
    before = np.cumsum(ended, axis=0) - ended == 0
    return (one.reward * before).sum(axis=0).mean()


whole, cut = first_episode(PAGES), first_episode(5)
print(f"whole: {whole:.2f}    cut after 5 pages and taken for an end: {cut:.2f}")
assert not known or 0.17 * whole < cut < 0.3 * whole < 0.8

# %% [markdown]
# In about a quarter of it. To such an agent a loyal shopper is worth as little as one who leaves. Of the two, only
# `terminated` ends the sum.
#
# ## Why greedy is not obviously best
#
# On paper: two pages, two products. A is clicked with probability 0.5, but whoever has seen A cares half as much about
# the next page. B is clicked with 0.4 and does no harm.

# %% tags=["nbval-check-output"]
chance, after = {"A": 0.5, "B": 0.4}, {"A": 0.5, "B": 1.0}
for first in "AB":
    for second in "AB":
        print(first, second, f"{chance[first] + after[first] * chance[second]:.2f}")

# %% [markdown]
# Greedy takes A and then A: 0.75 clicks. B and then A brings 0.90. The better first page earns *less* now.
#
# Is the shop like that? Its shoppers grow bored with a topic that they click. Below nobody leaves, own frequency shows
# every page, and boredom is off, as published, or doubled.

# %%
lines = {}
for name, shopper in boredom_presets().items():
    still = replace(shopper, patience=np.inf, fatigue=0.0, search=0.0)
    envs = ShopVectorEnv(8 * SHOPPERS, world, shopper=still, visits=1, horizon=12)
    clicks = play(envs, own, steps=12, seed=SEED).click  # [T, N]
    lines[f"boredom {name}"] = learning.band(100 * clicks.T, seed=SEED, samples=200)
off, published, doubled = (line.middle[0] - line.middle[-3:].mean() for line in lines.values())
print(f"points lost by pages 10 to 12: {off:.0f}, {published:.0f}, {doubled:.0f}")
_ = figures.bands(lines, "Clicks from page to page, with 95 % intervals", "page", "% with a click")
assert not known or off < 3 < published < 7 < doubled < 12
assert not known or abs(lines["boredom off"].middle[0] - 44) < 2

# %% [markdown]
# The first page is the same, about 44 %. Without boredom little changes. As published, 3 to 7 points are lost by the end,
# and more if boredom is doubled. So what is shown now changes what is clicked later, but not by much, and a greedy agent
# may be nearly as good. Whether planning pays is a question for chapter 10, which measures it.
#
# ## Three ways to combine
#
# The document names three ways to use reinforcement learning in a recommender with (large) models:
#
# | way | what the document says | what holds |
# |---|---|---|
# | direct | Q-Learning or SARSA optimise the recommendations | right, as far as a table reaches: state and action must be made coarse |
# | helper | reinforcement learning predicts behaviour or extracts features | no: these are supervised tasks, without a decision. The *predictor* helps the one who decides |
# | fused | joined with deep learning, it "improves performance" | a network can stand where the table stood. Whether that improves anything has to be measured |
#
# Here is a small version of each. The click model is a logistic regression. The network is an actor-critic: from 86
# numbers to a score for each of 500 products, by reward alone. Table and network learn from 50 pages of each shopper, the
# click model from 10. Then all meet the same new shoppers as before.

# %%
shop, envs, ways = ShopConfig(), ShopVectorEnv(SHOPPERS, world), {}
table = ShopTable(world, shop, ShopTableConfig(), seed=SEED, compiled=False)
play(envs, table, steps=PAGES, seed=SEED)
ways["direct: table"] = table.frozen()
pairs = PairFeatures(world, layout(shop, world))
seen = collect(envs, RandomPolicy(10), pairs, steps=10, seed=SEED)
ways["helper: click model"] = click_policy(fit_click_model(seen), pairs, ten)
config = actor_critic(slate_size=10, rollout_length=4, learning_rate=3e-3, gamma=0.9)
sizes = {"obs_size": observed.shape[1], "num_actions": world.num_items, "seed": SEED}
actor = PolicyGradientLearner(config, **sizes)
PolicyTraining(envs, actor, seed=SEED).run(PAGES * SHOPPERS)
ways["fused: network"] = ScorePolicy("network", lambda obs, info: actor.logits(obs), ten)
reached = {name: earned(policy).reward.mean() for name, policy in ways.items()}
print(*(f"{name} {reward:.3f}" for name, reward in reached.items()), sep="; ")
record("reward a page, three ways", reached)
assert not known or np.all(abs(np.subtract(list(reached.values()), [0.065, 0.108, 0.056])) < 0.012)

# %% [markdown]
# A name guarantees nothing. Table and network have learned: random pages earn 0.04. But after so few pages they are far
# below own frequency, which the model that *predicts* has reached. Chapter 10 compares on equal terms; chapter 12 joins
# encoders and agents.
#
# ## What is a large model?
#
# "Millions to billions of parameters", says the document. A dense layer from $D$ to $H$ numbers has
# $D H + H$ parameters. Using it takes $2 D H$ operations: a multiplication and an addition for each weight. Training with
# Adam holds four arrays of this size (weights, gradient, two moments), at 4 bytes a number.
#
# By hand, the first layer of a Q-network, 86 to 64: $86 \cdot 64 + 64 = 5{,}568$ parameters, $11{,}008$ operations, 22 kB
# to use and 89 kB to train. The function:

# %% tags=["nbval-check-output"]
size = size_of({"kernel": (86, 64), "bias": (64,)})
print(size.parameters, size.operations, size.memory, size.training_memory())

# %% [markdown]
# A *transformer* (chapter 4) is what large language models are made of. It has a table with $d$ numbers for each of $V$
# word pieces, $P$ places and $S$ segments; then $L$ layers of width $d$, each with attention and two dense layers of
# inner width $f$. Each part can be counted from the published configuration:

# %% tags=["include"]
# companion.metrics.model_size: transformer_parameters

# %% [markdown]
# It must give what the makers say:

# %% tags=["nbval-check-output"]
for name, published in PUBLISHED.items():
    parts = transformer_parameters(KNOWN[name])
    total, words = sum(parts.values()), 100 * parts["tables"] / sum(parts.values())
    print(f"{name:12s} {total:>15,}  published {published / 1e6:>9,.1f} M  tables {words:.0f} %")

# %% [markdown]
# Within one percent, which is their rounding. In MiniLM more than half is tables. For GPT-2 small the *paper* says 117
# million. The formula does not, and the makers have since corrected it.
#
# **Predict first.** LinUCB learns 132 numbers, the Q-network of the shop 42,228. Which one takes more operations to choose
# a page?

# %%
table = size_table(course_models(world) + known_models())
record("sizes of models", table.reset_index(names="model"))
assert table.loc["LinUCB", "operations"] > table.loc["Q-network, shop", "operations"]
assert (table["parameters"].drop(list(KNOWN)) < 100_000).all()
readable(table)

# %% [markdown]
# LinUCB: it works through 500 products one by one, the network reads the shopper once. Work depends on how often a
# parameter is used. ("To use" and "to train" are memory, training with a batch's activations, as far as they
# can be said; operations are those of one example.) And a real network of *this* framework:

# %% tags=["pytorch"]
network = DQNLearner(DQNConfig(), **sizes).online
print([tuple(p.shape) for p in network.parameters()])
assert sum(p.numel() for p in network.parameters()) == table.loc["Q-network, shop", "parameters"]

# %% tags=["tensorflow"]
network = DQNLearner(DQNConfig(), **sizes).online
print([tuple(v.shape) for v in network.trainable_variables])
assert network.count_params() == table.loc["Q-network, shop", "parameters"]

# %% [markdown] tags=["pytorch"]
# PyTorch keeps a kernel as [out, in], the transpose of what the formulas say.

# %% [markdown] tags=["tensorflow"]
# Keras keeps a kernel as [in, out], as the formulas say.

# %% [markdown]
# A survey of 2023 (Zhao and others) calls language models large from about ten billion parameters on. The models of this
# course, in this shop, have fewer than 100,000. They learn in minutes, and their mistakes can be seen. What is true of
# them need not be true of large ones.
#
# The document has large models adjust to users by themselves. But parameters stand still until someone trains again
# (chapter 14). A paper for each field that it names: language, BERT (2018); recommendation, SASRec (2018); images, ViT
# (2020); speech, wav2vec 2.0 (2020).
#
# ## Everything that is assumed
#
# All figures above depend on the simulation. Here is how many assumptions are of which sort, and two of each; chapter
# 10 has the whole table.

# %%
pd.set_option("display.max_colwidth", None)
every = assumptions().drop(columns=["open bandit", "taobao"])
print(*(f"{number} {how};" for how, number in every["how"].value_counts().items()))
every.loc[["shopper", "shop"]].droplevel("part").groupby("how", sort=False).head(2)

# %% [markdown]
# No published figure fixes what is set "by hand". A result that hangs on it is a result about this simulation.

# %% [markdown] tags=["lesson"]
# ## Recall
#
# 1. What is the difference between state and observation in a shop?
#    <details><summary>Answer</summary>The state holds also what no log shows, such as today's interest.</details>
# 2. Who decides the reward?
#    <details><summary>Answer</summary>The shop: 0.2 for a click is a choice, not a fact.</details>
# 3. Why can a log of bestsellers not tell what else to show?
#    <details><summary>Answer</summary>What was never shown has no clicks: silence is not dislike.</details>
# 4. An episode is truncated. What stands for the rest?
#    <details><summary>Answer</summary>The value of the last observation; 0 only after an end.</details>
# 5. A table of words has half of a model's parameters. How much of its work?
#    <details><summary>Answer</summary>None, if it is only looked up.</details>
#
# ## Exercise 1.1
#
# The return $G_0$ of an episode that ended, from its rewards. The first reward is not discounted.


# %% tags=["lesson"]
def episode_return(rewards, gamma):  # [T] -> number
    # solution
    total = 0.0
    for reward in reversed(rewards):
        total = reward + gamma * total
    return total


check("01.1", episode_return)

# %% [markdown] tags=["lesson"]
# ## Exercise 1.2
#
# One page: what is it worth, with what follows it? `next_value` is what the next observation is worth.


# %% tags=["lesson"]
def worth(reward, next_value, terminated, truncated, gamma):  # -> number
    # solution
    return reward if terminated else reward + gamma * next_value


check("01.2", worth)

# %% [markdown] tags=["lesson"]
# ## Exercise 1.3
#
# Parameters of a dense network. `sizes` are the widths from input to output, such as `[86, 64, 64, 500]`.


# %% tags=["lesson"]
def parameters(sizes):  # list of widths -> whole number
    # solution
    return sum(inputs * outputs + outputs for inputs, outputs in pairwise(sizes))


check("01.3", parameters)

# %% [markdown]
# ## Summary
#
# - A recommender acts on an observation, earns a reward that the shop has chosen, and changes what comes next.
# - A log is silent about what was never shown and about what a shopper wants today; an end is not a cut.
# - Parameters, memory and operations are three numbers, each can be computed, and a name stands for none of them.
#
# **Next:** chapter 3 reads the shop's log; chapter 7 begins to learn from reward.
#
# **References.** Sutton & Barto (2018), *Reinforcement Learning*, 2nd ed., chapters 1 and 3 · Xin et al. (2020),
# *Self-supervised reinforcement learning for recommender systems*, SIGIR · Vaswani et al. (2017), *Attention is all you
# need*, NIPS 30 · Zhao et al. (2023), *A survey of large language models*, arXiv:2303.18223 · Shi et al. (2019),
# *Virtual-Taobao*, AAAI
