# %% [markdown]
# # 10 · Optimising a recommendation policy
#
# **Question.** When does reinforcement learning beat a recommender that looks one page ahead, by how much, at what
# cost, and when does it not?
#
# ~45 min · needs chapters 1, 7 and 9 · runs in about a minute on two CPU cores
#
# Afterwards you can work out what planning can gain before you train, write the losses of a policy gradient and of
# PPO, value a page by SlateQ, and say what a comparison of policies has shown.

# %% tags=["parameters"]
SEED = 0
RUNS = 2  # seeds of each agent that is trained here; a report takes 5
STEPS = 80_000  # pages for each of them; a report takes 200,000
SHOPPERS = 2_000  # who judge each policy; a report takes 20,000

# %% tags=["pytorch"]
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML
from torch import Tensor

from companion.course.answers import check
from companion.envs import assumptions, best_slate, exact_shop, policies, shopper, trials
from companion.envs.calibration import CALIBRATED
from companion.envs.shop import ShopConfig, ShopVectorEnv, load_world
from companion.plots import figures
from companion.pytorch import DQNLearner, PolicyGradientLearner, setup
from companion.recommenders import shop_policies, support
from companion.reports.record import record
from companion.rl import dqn, policy_targets
from companion.rl.policy_gradient import PolicyBatch, ppo
from companion.rl.policy_gradient_training import PolicyTraining
from companion.rl.training import Training, run_and_keep_best
from companion.studies import bench, markets, recipes, shop_study, shop_tables

runtime = setup(SEED)

# %% tags=["tensorflow"]
from dataclasses import replace

from companion.tensorflow import DQNLearner, PolicyGradientLearner, setup

import numpy as np
import pandas as pd
import tensorflow as tf
from IPython.display import HTML
from tensorflow import Tensor

from companion.course.answers import check
from companion.envs import assumptions, best_slate, exact_shop, policies, shopper, trials
from companion.envs.calibration import CALIBRATED
from companion.envs.shop import ShopConfig, ShopVectorEnv, load_world
from companion.plots import figures
from companion.recommenders import shop_policies, support
from companion.reports.record import record
from companion.rl import dqn, policy_targets
from companion.rl.policy_gradient import PolicyBatch, ppo
from companion.rl.policy_gradient_training import PolicyTraining
from companion.rl.training import Training, run_and_keep_best
from companion.studies import bench, markets, recipes, shop_study, shop_tables

runtime = setup(SEED)

# %% [markdown]
# ## The naive way: a new policy on an old log
#
# The shop of chapter 1 has shown its bestsellers, and its log says what was clicked. A document that this course started
# from computes a new policy's click rate "on the test set", a part of the log.

# %%
world = load_world()
known = world.source == "complete-journey"  # the figures in the text are this log's
best = shop_policies.popularity_policy(world, policies.Choice(10))
own = shop_policies.own_frequency_policy(world, policies.Choice(10))


def served(policy, seed):  # one whole episode of each of 1,800 shoppers
    return trials.episodes(policy, ShopVectorEnv(900, world), shoppers=1_800, seed=seed)


on_test = served(best, SEED).click_rate.mean()  # wrong on purpose, for all but the bestsellers
found = {policy.name: served(policy, SEED + 1) for policy in (best, policies.RandomPolicy(10), own)}
true = {name: one.click_rate.mean() for name, one in found.items()}  # share of pages
assert not known or true["random"] < 0.8 * on_test < 0.9 * true["own frequency"]
pd.DataFrame({"on the test set": on_test, "in truth": true}).round(3)

# %% [markdown]
# One number for all three: the clicks in a log belong to the policy that wrote it. A new policy has to be *tried*, or its
# result estimated with the log's probabilities (below, and chapter 11).
#
# The document then reports "+20 % clicks, +15 % purchases", without an interval. Here is one policy against *itself*:
# own frequency on nine groups of 200 shoppers. What do eight of them buy more than the first?

# %%
groups = found["own frequency"].purchases.reshape(9, 200).mean(axis=1)
print(*(f"{100 * gain:+.0f} %" for gain in groups[1:] / groups[0] - 1))
assert not known or abs(groups[1:] / groups[0] - 1).max() > 0.15

# %% [markdown]
# Luck alone makes more than 15 %. So: the same shoppers for every policy, whole *episodes* (all her visits),
# and an interval for the *difference*.
#
# ## What can planning gain at all?
#
# Ask this first; it needs no training. In a shop of four products and two households, Bellman's equation (chapter 7),
# backwards from the last page, gives the exact value of the best policy. The *myopic* one takes what is best for this
# page. The difference is the price of myopia.

# %%
SMALL, tiny = ShopConfig(slate_size=1, horizon=7, visits=1), exact_shop.corner(world)
often = replace(CALIBRATED, no_click=0.5)  # clicks
tried = {**shopper.boredom_presets(often), "no memory": shopper.without_memory(often)}
price = exact_shop.myopia_table(tiny, tried, SMALL)
assert not known or price["share"].max() < 0.002 < 0.4 < price["click rate"].min()
price[["optimum", "myopic", "random", "share", "click rate"]].round(4)

# %% [markdown]
# The shopper was fitted to published figures, but clicks on one product at least as often as on a page of ten. In one
# visit, with nothing hidden, planning gains less than 0.2 % (`share`), although she grows bored: the myopic policy changes
# over as soon as boredom shows. (Leqi and others prove it for arms of equal kind.)
#
# When could one? On paper: products G (worth 0.43), P (0.33) and p (0.24). P and p are of one topic; right after each
# other, the second is worth a quarter. Greedy takes the largest first: G, P, p, $0.43 + 0.33 + 0.24 / 4 = 0.82$. But
# P, G, p earns $1.00$. Greedy has spent the product that should have parted the other two.
#
# Now a *restless* shopper: she clicks often, bores fast, likes what she knows, and a click keeps her. Only purchases
# count.
#
# **Predict first.** Below, one of these is taken away or, at last, halved. What ends the gain?

# %%
restless = replace(CALIBRATED, no_click=0.0, boredom=2.0, boredom_window=2.0, drift=0.3)
restless = replace(restless, repeat=0.7, popularity=1.0, interest=1.5, patience=2.0, place=1.0)
BUYING = replace(SMALL, click=0.0, purchase=1.0)
changed = {
    "all of it": restless,
    "clicks are rare": replace(restless, no_click=CALIBRATED.no_click),
    "no boredom": replace(restless, boredom=0.0),
    "a click does not keep her": replace(restless, patience_click=0.0),
    "known goods weigh little": replace(restless, repeat=CALIBRATED.repeat),
    "boredom as published": replace(restless, boredom=1.0),
}
price = exact_shop.myopia_table(tiny, changed, BUYING)
record("price of myopia, restless", price.reset_index(names="shopper"))
control = exact_shop.ExactShop(tiny, exact_shop.visible(restless), BUYING)
print("household 1, optimum begins with", tiny.names[control.policies["optimum"][0][0].argmax()])
whole, *without, mild = price["share"]
assert not known or max(without) < 0.01 < 0.02 < mild < 0.03 < 0.12 < whole < 0.14
price[["optimum", "myopic", "random", "price", "share"]].round(3)

# %% [markdown]
# Planning is worth 13 % where clicks are frequent *and* bore *and* keep the shopper *and* goods differ much. Without one
# of the four, less than 1 % is left; with boredom as published, less than 3 %. For the first household the optimum begins
# with lettuce: it keeps the tissue, as on paper, to part two products of one topic. In this shop planning must win: a
# *positive control*.
#
# ## A policy, learned directly
#
# DQN learns values and acts by them. A *policy gradient* changes probabilities. Let $\pi_\theta(a \mid o)$ be a
# softmax of a network's logits. The slope of the return, up to a factor, and the loss that has it, are
#
# $$\nabla_\theta J \propto \mathbb{E}\big[A_t \nabla_\theta \log \pi_\theta(a_t \mid o_t)\big],
# \qquad L(\theta) = -\frac{1}{B} \sum_{i=1}^{B} A_i \log \pi_\theta(a_i \mid o_i)$$
#
# $J$ is the mean return, $B$ the number of steps. The *advantage* $A_t$, a number for each step, says how much better it
# went than a value network $V$ expected.
#
# By hand: logits $(0, 0)$, so $\pi = (0.5, 0.5)$. Action 0 was taken and $A = 2$. Then $L = -2 \ln 0.5 = 1.386$.
# The slope by logit $j$ is $-A\,(1_{j = 0} - \pi_j)$, which is $(-1, 1)$: a step down raises logit 0.

# %% tags=["include"]
# companion.{framework}.policy_gradient: policy_loss

# %% [markdown] tags=["pytorch"]
# The first return is the formula. `batch.advantage` comes from NumPy and has no gradient: the network cannot make
# its steps look good. The same numbers by the function:

# %% [markdown] tags=["tensorflow"]
# The first return is the formula. `batch.advantage` comes from NumPy and the tape does not see it: the network cannot
# make its steps look good. The same numbers by the function:

# %% tags=["pytorch", "nbval-check-output"]
logits = torch.zeros(1, 2, requires_grad=True)
step = PolicyBatch(None, None, torch.zeros(1), torch.tensor([2.0]), None, None)
loss = policy_loss(logits.log_softmax(-1)[:, 0], step, None)
loss.backward()
print(round(loss.item(), 3), logits.grad.tolist())

# %% tags=["tensorflow", "nbval-check-output"]
logits = tf.Variable([[0.0, 0.0]])
step = PolicyBatch(None, None, tf.zeros(1), tf.constant([2.0]), None, None)
with tf.GradientTape() as tape:
    loss = policy_loss(tf.nn.log_softmax(logits)[:, 0], step, None)
print(round(loss.numpy().item(), 3), tape.gradient(loss, logits).numpy().tolist())

# %% [markdown]
# *PPO* uses each step several times, while the policy moves on. So it looks at the ratio $\rho = \pi_\theta(a \mid o)
# / \pi_{old}(a \mid o)$ and raises $\min(\rho A,\ \mathrm{clip}(\rho, 0.8, 1.2)\,A)$. What is that for $A = 1$ or
# $-1$?

# %% tags=["nbval-check-output"]
for advantage, ratio in ((1.0, 1.5), (-1.0, 0.5), (-1.0, 1.5)):
    one = PolicyBatch(None, None, np.zeros(1), np.array([advantage]), None, None)
    raised = -policy_targets.policy_loss_reference(np.log([ratio]), one, 0.2)
    print(f"A = {advantage:+.0f}, ratio {ratio}: {raised:.1f}")

# %% [markdown]
# A good action has earned all that it can at 1.2: beyond there is no slope. A bad one is pushed down to 0.8 and no
# further. But at 1.5 it is not clipped: it has moved the wrong way and is pulled back.
#
# The advantage comes from *GAE*: $\delta_t = r_t + \gamma V_{t+1} - V_t$ and $A_t = \delta_t + \gamma \lambda
# A_{t+1}$ (exercise 10.2). The document calls GAE and policy gradients "distribution strategies" that speed up DQN. They
# are a family of their own.
#
# ## The positive control
#
# Three agents learn in the restless shop: DQN with $\gamma = 0$, a *myopic* learner of the same form; DQN with
# $\gamma = 0.99$; and PPO. They see what a log shows.

# %%
DQN = dqn.DQNConfig(learning_rate=1e-3, batch_size=256, double=True, epsilon_steps=STEPS // 3)
DQN = replace(DQN, train_every=50, updates_per_call=5, sync_every=2_000, capacity=100_000)
PPO = ppo(rollout_length=7, minibatch_size=350, epochs=4, learning_rate=2e-3)


def trained(config, seed):
    envs, valued = control.shop(200), isinstance(config, dqn.DQNConfig)  # 200 shoppers at once
    kind, loop = (DQNLearner, Training) if valued else (PolicyGradientLearner, PolicyTraining)
    inputs = envs.single_observation_space.shape[0]
    learner = kind(config, obs_size=inputs, num_actions=tiny.num_items, seed=seed)
    scores, trial = learner.q_values if valued else learner.logits, control.shop(500)
    policy = policies.ScorePolicy("trained", lambda obs, info: scores(obs), policies.Choice(1))

    def score():  # by shoppers who judge nothing else
        return trials.episodes(policy, trial, shoppers=500, seed=SEED + 50).returns.mean()

    run_and_keep_best(loop(envs, learner, seed=seed), score, num_steps=STEPS, every=STEPS // 5)
    return policy


# %% [markdown]
# DQN learns and forgets, so the best of five moments is kept, as in chapter 9. Then all meet the same new shoppers.


# %%
def judged(policy, envs):
    return trials.episodes(policy, envs, shoppers=SHOPPERS, seed=SEED + 100)


envs = control.shop(1_000)
found = {f"exact {one}": judged(control.policy(one, envs), envs) for one in ("myopic", "optimum")}
for name, config in {"DQN, gamma 0": replace(DQN, gamma=0.0), "DQN": DQN, "PPO": PPO}.items():
    found[name] = trials.stacked([judged(trained(config, SEED + run), envs) for run in range(RUNS)])
learned = trials.trial_table(found, "exact myopic", seed=SEED).iloc[:, 1:]
record("positive control", learned.reset_index(names="policy"))
middle, low, _ = learned.iloc[:, 3:].T.to_numpy()
assert not known or abs(middle[2:] - middle[[0, 1, 1]]).max() < 0.02 < 0.03 < low[3:].min()
learned.round(3)

# %% [markdown]
# Both planners come within 0.02 of the optimum, far above the myopic policy. The myopic learner stays at its level. So DQN
# and PPO can plan, for single products. SlateQ, which comes next, was not tested here.
#
# ## A page of ten
#
# The big shop shows 10 of 500 products. *SlateQ* splits a page's value by what the reader does:
#
# $$Q(o, \mathcal{A}) = \sum_{j \in \mathcal{A}} p(j \mid o, \mathcal{A})\, Q(o, j)
# + p(\varnothing \mid o, \mathcal{A})\, Q(o, \varnothing)$$
#
# $\mathcal{A}$ is the page, $\varnothing$ no click, and $Q(o, j)$ the value of a click on $j$ with all that follows.
# $p(j) = e^{u_j} / (1 + \sum_{i \in \mathcal{A}} e^{u_i})$ is a choice model, $u_j$ the product's appeal. It assumes one
# click a page at most, and a future that depends on the click alone. So a network needs one value for each
# candidate, not for each page.
#
# By hand: odds $e^u = (1, 2)$, so $p = (0.25, 0.5)$, and 0.25 for no click. With $Q = (3, 1)$ and 0.4 for no click
# the page is worth $0.75 + 0.5 + 0.1 = 1.35$.

# %% tags=["nbval-check-output"]
print(round(float(best_slate.page_value(np.log([1.0, 2.0]), np.array([3.0, 1.0]), 0.4)), 4))

# %% [markdown]
# ## The big shop
#
# The *choice model* predicts clicks and purchases, and shows the page that is worth most *now*. It learned from 25,000
# pages (10,000 in SARDINE), the other learners from 150,000 (50,000). Their tables choose topics, the rest the same
# candidates; DQN top-K and the offline agents practised on pages of one product. 2,000 shoppers (125) judged each, for
# each of ten seeds. `companion.studies.shop_study` keeps the table. One untrained policy's row is computed again.

# %%
table = shop_study.load()
again = shop_study.run(shop_study.Cell("calibrated", "own frequency", "pytorch", 0))
both = table.merge(pd.DataFrame([again]), on=shop_study.KEY)
assert not known or np.isclose(both["returns_x"], both["returns_y"], rtol=1e-4).tolist() == [True]
ranked = shop_tables.compared(table, "choice model")
record("policies of the big shop", ranked.drop(columns="seconds").reset_index())
ax = figures.intervals(ranked[["difference", "low", "high"]][:11], "Return less the choice model's")
assert set(ranked.query("verdict == 'better'").index) <= {"myopic oracle", "LinUCB"}
three = ranked.loc[["choice model", "SlateQ", "PPO"], ["return", "seconds"]]
assert np.allclose(three / three.iloc[0], [[1, 1], [0.925, 8.0], [0.795, 7.5]], 0, [0.005, 1.5])
assert ranked["purchases"].idxmax() == "own frequency"
each = shop_tables.in_each_market
bought = each(table, "choice model", "own frequency", figure="purchases").loc["calibrated"]
print("purchases, choice model less own frequency:", *bought.iloc[:3].round(3))
ranked.round(2)

# %% [markdown]
# The *myopic oracle* sees the hidden interest, as no shop can: the roof for all who look one page ahead. **By return, no
# agent that plans beats the choice model.** The model is told what a click is; the agents have to find out from rewards,
# with six times the pages. But by *purchases* alone own frequency leads them all, the oracle too. The choice model wins
# by clicks at 0.2 each: who wins is decided with the reward. `seconds` is the processor time of one run (seed 0).
#
# ## Guards against a rigged game
#
# Now the same, unchanged, in seven markets. *Ahead* is an agent with $\gamma = 0.9$ less the same with 0. The others are
# less the choice model. Networks are PyTorch's unless named.

# %%
ahead = "SlateQ", "SlateQ, gamma 0"
guards = {"SlateQ ahead": each(table, *ahead)}
guards["DQN ahead"] = each(table, "DQN, top-K", "DQN, top-K, gamma 0")
guards |= {name: each(table, name, "choice model") for name in ("SlateQ", "PPO", "LinUCB")}
guards["SlateQ ahead, TensorFlow"] = each(table, *ahead, framework="tensorflow")
found = pd.concat(guards)
record("guards", found.reset_index(names=["what", "market"]))
assert set(found.drop("LinUCB")["verdict"]) == {"worse", "not told apart"}
shop_tables.grid(guards)

# %% [markdown]
# The markets differ in boredom or in the figures behind the shopper (open bandit, taobao); sardine is another simulator.
# Looking ahead is better in none. SlateQ gets worse by it in all seven, even without memory, where there is nothing to
# look ahead for: probably by the noise of all later pages in its target. A small gain would not be seen here. LinUCB,
# which looks at one page but learned from all, beats the choice model in two.
#
# ## Or did a policy exploit the simulator?
#
# An agent finds what the equations reward, true or not. The guard is a *log with known probabilities*, here of random
# pages. An impression that a policy would have made too counts 1 / its probability, all others 0: a click rate
# without simulation (chapter 11). Does it support the simulated one? The last row was trained in a simulator
# that flatters: known goods draw more than three times as strongly as in the log.

# %%
budget, PAGE = bench.Budget(20_000, 10_000), ShopConfig(horizon=1, visits=1)


def held(name, simulator=CALIBRATED):  # clicks per product shown, on first pages
    market = markets.shop_market(name, simulator, world=world)
    test = bench.Bench(market, SEED, budget, runtime.framework.lower())
    policy = recipes.RECIPES[name](test, 1).policy  # trained in the simulator
    envs, log = (ShopVectorEnv(1_000, world, PAGE, who) for who in (simulator, CALIBRATED))
    logged = support.match(log, policies.RandomPolicy(10), policy, steps=60, seed=SEED + 1)
    simulated = support.shown(envs, policy, steps=10, seed=SEED)
    return support.support(simulated, logged, None, seed=SEED)


checked = {name: held(name) for name in ("own frequency", "choice model", "SlateQ")}
checked["SlateQ, flattered"] = held("SlateQ", replace(CALIBRATED, repeat=1.0))
supported = support.support_table(checked).drop(columns=["matched", "published high"])
record("support", supported.reset_index(names="policy"))
assert not known or supported["verdict"].tolist() == [*[support.SUPPORTED] * 3, support.BEYOND]
supported.round(4)

# %% [markdown]
# The log supports the first three. The last is above all that the log allows, and is flagged: it has learned what its
# simulator rewards. In the second world SlateQ is far below the choice model (sardine, above). `effective` is the
# number of impressions that the log's answer rests on; below 1,000 there is no verdict.
#
# ## Every assumption
#
# All this holds for simulated shoppers, made of this. "By hand": no published figure fixes it.

# %%
pd.set_option("display.max_colwidth", None)
HTML(assumptions.assumptions()[["meaning", "value", "how", "source"]].to_html())

# %% [markdown]
# ## In the shop
#
# *Observation*: what the household bought, clicked and was shown, and the candidates' appeal. *Action*: a page of 10
# candidates. *Reward*: 0.2 for a click, 1 for a purchase. She leaves: terminated. The horizon: truncated.

# %% [markdown] tags=["lesson"]
# ## Recall
#
# 1. Why is a policy's click rate on a test set not its own?
#    <details><summary>Answer</summary>The clicks answered another policy's pages.</details>
# 2. Shoppers grow bored. Does planning pay?
#    <details><summary>Answer</summary>Not for that alone: a myopic policy reacts to boredom too.</details>
# 3. What is a positive control for?
#    <details><summary>Answer</summary>Without it, "no gain" may be a fault of the agents.</details>
# 4. A good action's ratio is 1.5. What does PPO do?
#    <details><summary>Answer</summary>Nothing: there is no slope beyond 1.2.</details>
# 5. What does SlateQ assume of the reader?
#    <details><summary>Answer</summary>One click a page at most; only the click matters later.</details>
#
# ## Exercise 10.1
#
# The price of myopia in a shop of two pages: `first[a]` is the reward of `a` on page 1, `second[a, b]` that of `b` on
# page 2 after `a`. Both policies do their best on page 2.


# %% tags=["lesson"]
def price_of_myopia(first, second):  # [A], [A, A] -> number
    # solution
    total = first + second.max(axis=1)
    return total.max() - total[first.argmax()]


check("10.1", price_of_myopia)

# %% [markdown] tags=["lesson"]
# ## Exercise 10.2
#
# GAE of an episode that *terminated*: after its last step $V$ is 0.


# %% tags=["lesson"]
def advantages(reward, value, gamma, gae_lambda):  # [T], [T], numbers -> [T]
    # solution
    delta, found = reward + gamma * np.append(value[1:], 0.0) - value, np.zeros(len(reward) + 1)
    for t in reversed(range(len(reward))):
        found[t] = delta[t] + gamma * gae_lambda * found[t + 1]
    return found[:-1]


check("10.2", advantages)

# %% [markdown] tags=["lesson"]
# ## Exercise 10.3
#
# Two policies, the same seeds: "better", "worse" or "not told apart"? The interval of the mean difference is its mean
# $\pm\ t\, s / \sqrt{S}$; $s$ is the sample standard deviation, which divides by $S - 1$.


# %% tags=["lesson"]
def verdict(ours, theirs, t):  # [S], [S], number -> text
    # solution
    gap = ours - theirs
    half = t * gap.std(ddof=1) / np.sqrt(len(gap))
    return "not told apart" if abs(gap.mean()) <= half else "better" if gap.mean() > 0 else "worse"


check("10.3", verdict)

# %% [markdown]
# ## Summary
#
# - Ask first what planning can gain. In the calibrated small shop: next to nothing. Where frequent clicks bore *and* keep
#   shoppers, and goods differ: 13 %, and DQN and PPO found it.
# - In the big shop no planner beat the choice model: SlateQ lost 7 %, PPO 20 %, at seven or eight times the processor
#   time and six times the pages.
# - No figure without the same shoppers, an interval, and a log that supports it.
#
# **Next:** chapter 13, one real log from end to end.
#
# **References.** Ie et al. (2019), *SlateQ*, arXiv:1905.12767 · Schulman et al. (2016), *GAE*, arXiv:1506.02438 ·
# Schulman et al. (2017), *PPO*, arXiv:1707.06347 · Leqi et al. (2021), *Rebounding bandits*, arXiv:2011.06741 · Sutton
# et al. (2000), *Policy gradient methods*, NIPS 12
