"""How each policy of the comparison is made, one function each.

Policies that learn may use the same number of pages. The choice model needs only the first of them,
shown at random, and all others start from it: they choose among the same candidates, for each topic
the best items of the household by that model. The two tables use all pages and choose topics, not
candidates. DQN on single items and the offline agents have pages of one item. Popularity and own
frequency know the log of purchases, and may show any item.

The settings were chosen on seeds from 1,000 on; the comparison uses those below.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np

from companion.envs.oracle import MyopicOracle
from companion.envs.policies import Choice, Policy, RandomPolicy, play
from companion.envs.shop_candidates import FLOOR, CandidatePolicy
from companion.envs.shop_tables import ShopWorld
from companion.recommenders.choice_model import fitted_utility, myopic_policy
from companion.recommenders.linear_arms import SharedArms
from companion.recommenders.linear_bandits import LinearBanditConfig, LinearThompson, LinUCB
from companion.recommenders.shop_policies import own_frequency_policy, popularity_policy
from companion.rl.behaviour import softmax_behaviour
from companion.rl.dqn import DQNConfig
from companion.rl.offline import collect_log, constrained_scores, fit_offline, replay_of
from companion.rl.policy_gradient import PolicyGradientConfig, actor_critic, ppo, reinforce
from companion.rl.policy_gradient_training import PolicyTraining
from companion.rl.shop_tabular import ShopTable, ShopTableConfig
from companion.rl.slate_q import SlateQPolicy, page_model
from companion.rl.slate_training import SlateTraining
from companion.rl.tabular import q_learning, sarsa
from companion.rl.training import Training
from companion.studies.bench import Bench, OnCandidates
from companion.studies.markets import Envs

GAMMA = 0.9  # of a page, for all that plan
CONSERVATIVE = 0.1  # alpha of CQL, in units of the reward


class Served(NamedTuple):
    """A policy that is ready, and the shop that it knows."""

    policy: Policy
    shop: Envs


Recipe = Callable[[Bench, int], Served]  # the bench, N of the shop that is served in the end


def fixed(make: Callable[..., Policy], bench: Bench, copies: int) -> Served:
    """A policy that counts."""
    choice = Choice(bench.market.slate_size)
    return Served(make(bench.market.world, choice), bench.market.shop(copies, choice.slate_size))


def at_random(bench: Bench, copies: int) -> Served:
    """Any item."""
    places = bench.market.slate_size
    return Served(RandomPolicy(places), bench.market.shop(copies, places))


def oracle(bench: Bench, copies: int) -> Served:
    """The page that is worth most now, by what no log shows."""
    shop = bench.market.shop(copies, bench.market.slate_size)
    return Served(MyopicOracle(shop), shop)  # type: ignore[arg-type]


def choice(bench: Bench, copies: int) -> Served:
    """The page that is worth most now, by the choice model, among the candidates."""
    places = bench.market.slate_size
    policy = myopic_policy(bench.model, bench.pairs, places, candidates=bench.candidates)
    return Served(policy, bench.market.shop(copies, places))


def bandit(kind: Any, width: float, bench: Bench, copies: int) -> Served:
    """A linear bandit that goes on learning from every page of the budget."""
    settings = bench.market.weights
    config = LinearBanditConfig(bench.market.slate_size, width=width, weights=settings)
    policy = kind(SharedArms(OnCandidates(bench.pairs)), config)
    shops = bench.budget.shops
    play(bench.shop(shops), policy, steps=bench.budget.rest // shops, seed=bench.seed)
    return Served(policy, bench.shop(copies))


def table(rule: Callable[..., Any], bench: Bench, copies: int) -> Served:
    """A table over topics, for a discretised state."""
    config, world = ShopTableConfig(gamma=GAMMA), cast(ShopWorld, bench.market.world)
    policy = ShopTable(world, bench.market.config, config, rule=rule, seed=bench.seed)
    shops, places = bench.budget.shops, bench.market.slate_size
    steps = bench.budget.pages // shops
    play(bench.market.shop(shops, places), policy, steps=steps, seed=bench.seed)
    return Served(policy.frozen(), bench.market.shop(copies, places))


def q_settings(bench: Bench, gamma: float) -> DQNConfig:
    """Of all Q-networks: an update for every 100 pages, five in a call."""
    rest = bench.budget.rest
    return DQNConfig(
        gamma=gamma,
        learning_rate=1e-3,
        batch_size=256,
        capacity=min(100_000, rest),
        warmup=min(5_000, rest // 4),
        train_every=100,
        updates_per_call=5,
        sync_every=5_000,
        epsilon_end=0.1,
        epsilon_steps=max(1, rest // 3),
        double=True,
    )


def slate_q(gamma: float, bench: Bench, copies: int) -> Served:
    """SlateQ on whole pages; with gamma 0 it is a myopic learner of the same form."""
    envs = bench.shop(bench.budget.shops)
    pages = page_model(envs, place=tuple(np.exp(bench.model.at(envs.slate_size)).tolist()))
    loss = bench.twin("slate_q").slate_td_loss(pages)
    learner = bench.dqn(pages.num_actions, q_settings(bench, gamma), loss=loss)
    SlateTraining(envs, learner, seed=bench.seed, model=pages).run(bench.budget.rest)
    policy = SlateQPolicy(
        "SlateQ",
        learner.q_values,
        pages,
        candidates=bench.candidates,
        utility=fitted_utility(bench.model, bench.pairs),
    )
    return Served(policy, bench.market.shop(copies, bench.market.slate_size))


def top_k(gamma: float, bench: Bench, copies: int) -> Served:
    """DQN on single items; a page shows the items of highest value. With gamma 0 it is myopic."""
    learner = bench.dqn(bench.candidates.size, q_settings(bench, gamma))
    Training(bench.shop(bench.budget.shops, 1), learner, seed=bench.seed).run(bench.budget.rest)
    return by_scores("DQN, top-K", learner.q_values, bench, copies)


def by_scores(
    name: str, scores: Callable[[np.ndarray], np.ndarray], bench: Bench, copies: int
) -> Served:
    """The candidates of the highest scores."""
    policy = CandidatePolicy(
        name,
        scores,
        bench.candidates,
        fitted_utility(bench.model, bench.pairs),
        Choice(bench.market.slate_size),
    )
    return Served(policy, bench.market.shop(copies, bench.market.slate_size))


def gradient(settings: PolicyGradientConfig, shops: int, bench: Bench, copies: int) -> Served:
    """A policy gradient on whole pages; in the end it shows the highest logits.

    Args:
        settings: of the learner.
        shops: N in training.
        bench: of the market.
        copies: N of the shop that is served.
    """
    envs = bench.shop(shops)
    learner = bench.twin("policy_gradient").PolicyGradientLearner(
        settings,
        obs_size=bench.obs_size,
        num_actions=bench.candidates.size,
        seed=bench.seed,
    )
    PolicyTraining(envs, learner, seed=bench.seed).run(bench.budget.rest)
    return by_scores("policy gradient", learner.logits, bench, copies)


def offline(kind: str, bench: Bench, copies: int) -> Served:
    """Learns from a log of single items, shown in proportion to their odds; nothing more is tried.

    Args:
        kind: "plain", "constrained" (BCQ) or "conservative" (CQL).
        bench: of the market.
        copies: N of the shop that is served.
    """
    size, envs = bench.candidates.size, bench.shop(bench.budget.shops, 1)
    utilities = envs.parts["utility"]
    behaviour = softmax_behaviour(lambda obs: obs[:, utilities])

    def allowed(obs: Any) -> Any:  # arrays of NumPy or of the framework
        return obs[:, utilities] > FLOOR

    log = collect_log(envs, behaviour, steps=bench.budget.rest, seed=bench.seed)
    config = q_settings(bench, GAMMA)
    loss = {}
    if kind == "conservative":
        loss["loss"] = bench.twin("offline").cql_loss(CONSERVATIVE, allowed=allowed)
    learner = bench.dqn(size, config, **loss)
    known = behaviour if kind == "constrained" else None
    replay = replay_of(log, gamma=GAMMA, behaviour=known)
    group = config.updates_per_call
    updates = bench.budget.rest // config.train_every // group * group
    fit_offline(learner, replay, updates=updates, seed=bench.seed)
    scores = learner.q_values
    if known is not None:
        scores = constrained_scores(scores, known, allowed=allowed)
    return by_scores(f"offline DQN, {kind}", scores, bench, copies)


def _whole_page(
    make: Callable[..., PolicyGradientConfig], *, share: int = 1, **changes: Any
) -> Recipe:
    """A policy gradient with N / share shops: REINFORCE waits for whole episodes in each."""

    def recipe(bench: Bench, copies: int) -> Served:
        settings = make(slate_size=bench.market.slate_size, gamma=GAMMA, **changes)
        return gradient(settings, max(1, bench.budget.shops // share), bench, copies)

    return recipe


RECIPES: dict[str, Recipe] = {
    "random": at_random,
    "popularity": partial(fixed, popularity_policy),
    "own frequency": partial(fixed, own_frequency_policy),
    "LinUCB": partial(bandit, LinUCB, 0.5),
    "Thompson sampling": partial(bandit, LinearThompson, 0.1),
    "choice model": choice,
    "Q-Learning": partial(table, q_learning),
    "SARSA": partial(table, sarsa),
    "DQN, top-K, gamma 0": partial(top_k, 0.0),
    "DQN, top-K": partial(top_k, GAMMA),
    "SlateQ, gamma 0": partial(slate_q, 0.0),
    "SlateQ": partial(slate_q, GAMMA),
    "REINFORCE": _whole_page(reinforce, share=10, rollout_length=50),
    "actor-critic": _whole_page(actor_critic, rollout_length=10),
    "PPO": _whole_page(ppo, rollout_length=10, minibatch_size=1_000, epochs=4, learning_rate=1e-3),
    "offline DQN": partial(offline, "plain"),
    "offline BCQ": partial(offline, "constrained"),
    "offline CQL": partial(offline, "conservative"),
    "myopic oracle": oracle,
}
