"""Candidates of a catalogue, and the shop whose actions are their numbers."""

from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from parity import FRAMEWORKS, load
from tiny_shop import small_world, tiny_world

from companion.core.seeding import generator
from companion.envs.policies import Choice, RandomPolicy, StepResult, after_step, play
from companion.envs.shop import ShopConfig, ShopEnv, ShopVectorEnv
from companion.envs.shop_candidates import (
    FLOOR,
    CandidatePolicy,
    Candidates,
    CandidateShop,
    with_utilities,
)
from companion.envs.shop_tables import with_newcomers
from companion.envs.shopper import ShopperConfig
from companion.envs.slates import plackett_luce_propensity
from companion.rl.dqn import DQNConfig
from companion.rl.policy_gradient import ppo
from companion.rl.policy_gradient_training import PolicyTraining
from companion.rl.rollout import Stepper
from companion.rl.training import Training

LIVELY = ShopperConfig(no_click=0.5, cart=1.0, search=0.6, patience=2.0)  # short, and carts fill


def catalogue(topic, kind):
    topic, kind = np.array(topic), np.array(kind)
    sizes = {"num_items": len(topic), "num_topics": int(topic.max()) + 1}
    return SimpleNamespace(topic=topic, kind=kind, **sizes)


def told(allowed, user=0, search=-1):
    allowed = np.atleast_2d(np.asarray(allowed, bool))
    every = np.ones(len(allowed), np.int64)
    return {"action_mask": allowed, "user": user * every, "search": search * every}


def listed(found, n=0):
    """The items in the order of the numbers, None where the mask is false."""
    pairs = zip(found.items[n].tolist(), found.mask[n].tolist(), strict=True)
    return [item if there else None for item, there in pairs]


# --- candidates by hand ---------------------------------------------------------------------------

SIX = catalogue(topic=[0, 0, 0, 1, 1, 2], kind=[0, 1, 1, 2, 1, 3])
WORTH = np.array([1.0, 3.0, 2.0, 0.0, 5.0, -4.0])


def test_the_best_of_each_topic_come_first_and_then_those_searched_for():
    find = Candidates(SIX, WORTH, per_topic=1, per_search=3)
    assert find.size == 6
    assert listed(find(told(np.ones(6)))) == [1, 4, 5, None, None, None]
    # Of kind 1 are the items 4, 1 and 2, in this order; 4 and 1 are there already.
    assert listed(find(told(np.ones(6), search=1))) == [1, 4, 5, None, None, 2]
    assert listed(find(told(np.ones(6), search=0))) == [1, 4, 5, 0, None, None]


def test_what_may_not_be_shown_makes_room_for_the_next_best():
    find = Candidates(SIX, WORTH, per_topic=2, per_search=1)
    assert listed(find(told(np.ones(6)))) == [1, 2, 4, 3, 5, None, None]
    assert listed(find(told([1, 0, 1, 1, 1, 1]))) == [2, 0, 4, 3, 5, None, None]
    assert listed(find(told([0, 0, 1, 0, 0, 0]))) == [2, None, None, None, None, None, None]
    # Without item 4, item 1 is the best of kind 1, and stands in its topic already.
    assert listed(find(told([1, 1, 1, 1, 0, 1], search=1))) == [1, 2, 3, None, 5, None, None]
    # Without items 4 and 1 it is item 2, likewise. A kind that nothing is of finds nothing.
    assert listed(find(told(np.ones(6), search=9)))[-1] is None


def test_each_household_has_its_own_candidates_and_one_row_of_scores_serves_all():
    own = Candidates(SIX, np.stack((WORTH, -WORTH)), per_topic=1, per_search=0)
    both = {**told(np.ones((2, 6))), "user": np.array([1, 0])}
    found = own(both)
    assert [listed(found, 0), listed(found, 1)] == [[0, 3, 5], [1, 4, 5]]
    found = Candidates(SIX, WORTH, per_topic=1, per_search=0)({**both, "user": np.array([700, 3])})
    assert listed(found, 0) == listed(found, 1) == [1, 4, 5]


def test_of_equal_items_the_lower_number_comes_first():
    find = Candidates(SIX, np.zeros(6), per_topic=2, per_search=2)
    assert listed(find(told(np.ones(6), search=1))) == [0, 1, 3, 4, 5, None, None, 2]


# --- candidates against a plain search ------------------------------------------------------------


def by_search(world, scores, info, per_topic, per_search):
    """The same by sorting, one shopper at a time."""
    rows = []
    for n in range(len(info["user"])):
        own = scores if scores.ndim == 1 else scores[info["user"][n]]
        order = [i for i in np.argsort(-own, kind="stable") if info["action_mask"][n, i]]
        row = []
        for topic in range(world.num_topics):
            best = [i for i in order if world.topic[i] == topic][:per_topic]
            row += best + [None] * (per_topic - len(best))
        best = [i for i in order if world.kind[i] == info["search"][n]][:per_search]
        best = [None if i in row else i for i in best]
        rows.append(row + best + [None] * (per_search - len(best)))
    return rows


@pytest.mark.parametrize(("per_topic", "per_search"), [(1, 0), (2, 2), (3, 5)])
def test_candidates_are_those_of_a_plain_search(per_topic, per_search):
    rng = generator(0, "catalogue")
    world = catalogue(np.append(rng.integers(0, 6, 39), 6), rng.integers(0, 9, 40))
    scores = rng.normal(size=(8, 40)).round(1)  # rounded, so that some are equal
    info = {
        "action_mask": rng.random((200, 40)) < rng.random((200, 1)),
        "user": rng.integers(0, 8, 200),
        "search": rng.integers(-1, 9, 200),
    }
    found = Candidates(world, scores, per_topic=per_topic, per_search=per_search)(info)
    wanted = by_search(world, scores, info, per_topic, per_search)
    assert [listed(found, n) for n in range(200)] == wanted
    for n in range(200):
        real = [item for item in listed(found, n) if item is not None]
        assert len(real) == len(set(real))
    assert found.items.dtype == np.int64
    assert found.mask.dtype == bool


def test_an_info_or_a_table_of_another_shop_is_refused():
    with pytest.raises(ValueError, match=r"per_topic must be 1 or more .* got 0 and 2"):
        Candidates(SIX, WORTH, per_topic=0)
    with pytest.raises(ValueError, match="per_search 0 or more; got 2 and -1"):
        Candidates(SIX, WORTH, per_search=-1)
    with pytest.raises(ValueError, match=r"shape \[H, 6\] or \[6\]; got \[2, 5\]"):
        Candidates(SIX, np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"got \[1, 2, 6\]"):
        Candidates(SIX, np.zeros((1, 2, 6)))
    with pytest.raises(ValueError, match="the score of item 3 is NaN, in row 1"):
        Candidates(SIX, np.stack((WORTH, np.where(np.arange(6) == 3, np.nan, WORTH))))
    find = Candidates(SIX, np.stack((WORTH, WORTH)))
    good = told(np.ones((3, 6)))
    for name in ("user", "search", "action_mask"):
        with pytest.raises(ValueError, match=f"info must hold '{name}'"):
            find({key: value for key, value in good.items() if key != name})
    with pytest.raises(ValueError, match="shopper 1: user must be from 0 to 1; got 2"):
        find({**good, "user": np.array([0, 2, 1])})
    with pytest.raises(ValueError, match=r"action_mask must have the shape \[N, 6\]; got \[3, 5\]"):
        find({**good, "action_mask": np.ones((3, 5), bool)})
    with pytest.raises(ValueError, match="user and search must be of 3 shoppers"):
        find({**good, "search": np.array([0, 1])})


# --- the shop -------------------------------------------------------------------------------------


def utility(obs, info, items):
    """Differs by observation, page, household, search and item, so that a mix-up shows."""
    known = info["page"] + 0.1 * info["user"] + 0.01 * info["search"]
    return obs[:, 3:4] + known[:, None] - 0.3 * items


def world_of(items=30, topics=4):
    return small_world(items, topics, households=6, seed=3)


def scores_of(world, seed=0):
    return generator(seed, "scores").normal(size=(world.num_users, world.num_items))


def shops(copies=40, k=3, shopper=LIVELY, **settings):
    """A shop, the same shop by candidates, and what it was made of."""
    world, config = world_of(), ShopConfig(slate_size=k, horizon=6, **settings)
    candidates = Candidates(world, scores_of(world))
    plain, inner = (ShopVectorEnv(copies, world, config, shopper) for _ in range(2))
    return plain, CandidateShop(inner, candidates, utility), candidates


def numbers(info, k, rng):
    """K allowed candidates at random: [N, K], [N] where K is 1."""
    order = np.where(info["action_mask"], rng.random(info["action_mask"].shape), 2.0)
    chosen = np.argsort(order, axis=1)[:, :k]
    return chosen[:, 0] if k == 1 else chosen


def items_of(info, actions):
    table = actions if actions.ndim == 2 else actions[:, None]
    items = np.take_along_axis(info["candidates"], table, axis=1)
    return items if actions.ndim == 2 else items[:, 0]


def assert_seen(env, candidates, seen, info, plain):
    """What is seen is the shop's observation, and the utilities of the shop's candidates."""
    obs, before = plain
    found = candidates(before)
    np.testing.assert_array_equal(info["action_mask"], found.mask)
    np.testing.assert_array_equal(info["candidates"][found.mask], found.items[found.mask])
    np.testing.assert_array_equal(seen[:, env.parts["shop"]], obs)
    wanted = np.clip(utility(obs, before, found.items), -10, 10)
    wanted = np.where(found.mask, wanted, -10)
    np.testing.assert_allclose(seen[:, env.parts["utility"]], wanted, rtol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_it_is_the_same_shop_with_other_names_for_the_actions(k):
    plain, env, candidates = shops(k=k)
    rng = generator(1, "actions")
    obs, before = plain.reset(seed=5)
    seen, info = env.reset(seed=5)
    ended = masked = 0
    for _ in range(25):
        assert_seen(env, candidates, seen, info, (obs, before))
        assert env.observation_space.contains(seen)
        masked += (seen[:, env.parts["utility"]] == FLOOR).sum()
        actions = numbers(info, k, rng)
        assert env.action_space.contains(actions)
        wanted = plain.step(items_of(info, actions))
        found = env.step(actions)
        for column in (1, 2, 3):
            np.testing.assert_array_equal(found[column], wanted[column])
        for name in set(wanted[4]) - {"action_mask", "final_obs", "final_info"}:
            np.testing.assert_array_equal(found[4][name], wanted[4][name], err_msg=name)
        assert set(found[4]) - set(wanted[4]) == {"candidates", "_candidates"}
        ended += (found[2] | found[3]).sum()
        (seen, info), (obs, before) = (found[0], found[4]), (wanted[0], wanted[4])
    assert ended > 40
    assert masked > 0


def test_the_last_observation_of_an_episode_is_that_of_its_last_page():
    plain, env, candidates = shops()
    rng = generator(2, "actions")
    plain.reset(seed=7)
    _, info = env.reset(seed=7)
    kinds = {"terminated": 0, "truncated": 0}
    for _ in range(25):
        actions = numbers(info, 3, rng)
        wanted = plain.step(items_of(info, actions))
        seen, _, terminated, truncated, info = env.step(actions)
        rows = np.flatnonzero(terminated | truncated)
        kinds["terminated"] += terminated.sum()
        kinds["truncated"] += truncated.sum()
        if not len(rows):
            assert "final_obs" not in info
            continue
        last = info["final_info"]
        told_last = {k: v[rows] for k, v in wanted[4]["final_info"].items() if k[0] != "_"}
        told_seen = {k: last[k][rows] for k in ("action_mask", "candidates")}
        final = np.stack(list(info["final_obs"][rows]))
        obs = np.stack(list(wanted[4]["final_obs"][rows]))
        assert_seen(env, candidates, final, told_seen, (obs, told_last))
        for name in set(told_last) - {"action_mask"}:
            np.testing.assert_array_equal(last[name][rows], told_last[name], err_msg=name)
        others = np.setdiff1d(np.arange(40), rows)
        assert all(info["final_obs"][row] is None for row in others)
        np.testing.assert_array_equal(last["_candidates"], terminated | truncated)
        assert not last["action_mask"][others].any()
        assert (seen[rows, env.parts["shop"].start :] != final).any(axis=1).all()
    assert min(kinds.values()) > 5


def test_a_stepper_learns_from_true_last_observations_and_masks():
    _, env, candidates = shops(copies=30, k=1)
    stepper, rng = Stepper(env), generator(3, "actions")
    assert (stepper.num_actions, stepper.obs_size) == (candidates.size, env.parts["utility"].stop)
    stepper.reset(4)
    _, twin, _ = shops(copies=30, k=1)
    before = twin.reset(seed=4)[1]
    ended = 0
    for _ in range(15):
        actions = numbers({"action_mask": stepper.mask}, 1, rng)
        step, result = stepper.step(actions), StepResult(*twin.step(actions))
        after = after_step(before, result)
        np.testing.assert_array_equal(step.next_obs, after["next_obs"])
        np.testing.assert_array_equal(step.next_mask, after["action_mask"])
        before, ended = result.info, ended + (step.terminated | step.truncated).sum()
    assert ended > 10


def test_it_takes_gymnasium_s_own_vector_of_single_shops():
    world, config = world_of(), ShopConfig(slate_size=3, horizon=6)
    several = SyncVectorEnv(
        [lambda: ShopEnv(world, config, LIVELY)] * 9, autoreset_mode=AutoresetMode.SAME_STEP
    )
    together = ShopVectorEnv(9, world, config, LIVELY)
    candidates = Candidates(world, scores_of(world))
    envs = [CandidateShop(shop, candidates, utility) for shop in (several, together)]
    rng, (info, _) = generator(4, "actions"), [env.reset(seed=2)[1] for env in envs]
    ends = 0
    for _ in range(12):
        actions = numbers(info, 3, rng)
        one, other = (env.step(actions) for env in envs)
        for column in range(4):
            np.testing.assert_array_equal(one[column], other[column])
        rows = np.flatnonzero(one[2] | one[3])
        for row in rows:
            np.testing.assert_array_equal(one[4]["final_obs"][row], other[4]["final_obs"][row])
        info, ends = one[4], ends + len(rows)
    assert ends > 5


def test_spaces_are_those_of_candidates():
    _, env, candidates = shops(copies=4, k=3)
    assert candidates.size == 10
    assert env.single_action_space.items == 10
    assert env.single_action_space.shape == (3,)
    assert env.action_space.shape == (4, 3)
    width = env.single_observation_space.shape[0]
    assert env.parts == {"shop": slice(0, width - 10), "utility": slice(width - 10, width)}
    assert env.single_observation_space.high[-1] == -FLOOR
    assert env.single_observation_space.low[-1] == FLOOR
    assert env.observation_space.shape == (4, width)
    _, single, _ = shops(copies=4, k=1)
    assert single.single_action_space == Discrete(10)
    assert single.action_space.shape == (4,)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


def test_actions_that_are_no_candidates_are_refused():
    _, env, _ = shops(copies=3, k=2)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros((3, 2), np.int64))
    _, info = env.reset(seed=0)
    good = numbers(info, 2, generator(0, "actions"))
    for number, says in ((10, "must be from 0 to 9"), (-1, "must be from 0 to 9")):
        bad = good.copy()
        bad[1, 1] = number
        with pytest.raises(ValueError, match=f"shopper 1: candidate {number} {says}"):
            env.step(bad)
    away = np.argwhere(~info["action_mask"])[0]
    bad = good.copy()
    bad[away[0], 0] = away[1]
    with pytest.raises(ValueError, match=f"shopper {away[0]}: candidate {away[1]} is masked off"):
        env.step(bad)
    with pytest.raises(ValueError, match=r"shopper 0: item .* stands twice in the slate"):
        env.step(good[:, [0, 0]])
    for bad in (good[:, 0], good[:2], good.astype(float)):
        with pytest.raises(ValueError, match="the action must be whole numbers of shape"):
            env.step(bad)
    env.step(good)  # what was refused has changed nothing


class Other(ShopVectorEnv):
    """A shop of which something is different."""

    def __init__(self, **changes):
        super().__init__(2, world_of())
        for name, value in changes.items():
            setattr(self, name, value)


def test_a_shop_that_does_not_fit_is_refused():
    world = world_of()
    candidates = Candidates(world, scores_of(world))

    def wrapped(**changes):
        return CandidateShop(Other(**changes), candidates, utility)

    with pytest.raises(ValueError, match="must reset itself in the same step; its mode is"):
        wrapped(metadata={"autoreset_mode": AutoresetMode.NEXT_STEP})
    with pytest.raises(ValueError, match="observations must be a Box of one axis; got Box"):
        wrapped(single_observation_space=Box(0, 1, (2, 3)))
    with pytest.raises(ValueError, match="observations must be a Box of one axis; got Discrete"):
        wrapped(single_observation_space=Discrete(3))
    with pytest.raises(ValueError, match="actions must be an item or a slate of items; got Box"):
        wrapped(single_action_space=Box(0, 1, (2,)))
    long = ShopVectorEnv(2, world, slate_size=11)
    with pytest.raises(ValueError, match="a page has 11 places, but there are 10 candidates"):
        CandidateShop(long, candidates, utility)


def test_utilities_of_another_shape_or_nan_are_refused_and_large_ones_cut():
    plain, _, candidates = shops(copies=3)
    obs, info = plain.reset(seed=0)
    with pytest.raises(ValueError, match=r"the utilities have the shape \[3, 9\], not \[3, 10\]"):
        with_utilities(obs, info, candidates, lambda obs, info, items: items[:, 1:] * 1.0)

    def holed(obs, info, items):
        value = np.zeros(items.shape)
        value[2, 0] = np.nan
        return value

    with pytest.raises(ValueError, match="shopper 2: the utility of candidate 0 is NaN"):
        with_utilities(obs, info, candidates, holed)
    ends = np.array([-np.inf, 1e9] * 5)
    seen, found = with_utilities(obs, info, candidates, lambda *_: np.tile(ends, (3, 1)))
    assert found.mask[:, :2].all()
    np.testing.assert_array_equal(seen[:, -10:-8], [[FLOOR, -FLOOR]] * 3)
    assert seen.dtype == np.float32


def test_a_household_without_a_history_has_candidates():
    world = with_newcomers(tiny_world(), 0.999999)
    env = CandidateShop(
        ShopVectorEnv(5, world, slate_size=2),
        Candidates(world, np.tile(world.popularity, (world.num_users, 1))),
        utility,
    )
    _, info = env.reset(seed=0)
    assert (info["user"] == world.num_users - 1).any()
    found = [int(item) for item in info["candidates"][0][:6]]
    best = [np.flatnonzero(world.topic == c) for c in range(3)]
    ranked = [one[np.argsort(-world.popularity[one], kind="stable")][:2] for one in best]
    assert found == np.concatenate(ranked).tolist()
    env.step(numbers(info, 2, generator(0, "actions")))


# --- policies and agents --------------------------------------------------------------------------


def scored(seen):
    """Scores that depend on both parts of an observation."""
    return np.sin(3 * seen[:, -10:]) + seen[:, :1]


@pytest.mark.parametrize("k", [1, 3])
def test_a_policy_shows_the_items_whose_numbers_it_would_choose(k):
    plain, env, candidates = shops(k=k)
    policy = CandidatePolicy("by sine", scored, candidates, utility, Choice(k))
    assert policy.name == "by sine"
    obs, before = plain.reset(seed=9)
    seen, info = env.reset(seed=9)
    for _ in range(8):
        slate = policy.act(obs, before, generator(0, "act"))
        value = np.where(info["action_mask"], scored(seen), -np.inf)
        best = np.argsort(-value, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(slate.items, np.take_along_axis(info["candidates"], best, 1))
        assert (slate.propensity == 1).all()
        obs, _, _, _, before = plain.step(slate.items)
        seen, _, _, _, info = env.step(best)


def test_propensities_are_those_of_the_items_among_all_items():
    plain, _, candidates = shops()
    policy = CandidatePolicy("soft", scored, candidates, utility, Choice(3, temperature=0.7))
    obs, info = plain.reset(seed=3)
    slate = policy.act(obs, info, generator(1, "act"))
    seen, found = with_utilities(obs, info, candidates, utility)
    whole = np.full(info["action_mask"].shape, -np.inf)  # of all items: those that are candidates
    for n in range(len(obs)):
        whole[n, found.items[n, found.mask[n]]] = scored(seen)[n, found.mask[n]]
    wanted = plackett_luce_propensity(whole, np.isfinite(whole), slate.items, temperature=0.7)
    np.testing.assert_allclose(slate.propensity, wanted, rtol=1e-12)
    assert 0 < slate.propensity.max() < 1


def test_exploring_propensities_are_the_frequencies_of_the_items():
    plain, _, candidates = shops(copies=1)
    policy = CandidatePolicy("eps", scored, candidates, utility, Choice(1, epsilon=0.4))
    obs, info = plain.reset(seed=3)
    obs, info = np.repeat(obs, 20_000, 0), {k: np.repeat(v, 20_000, 0) for k, v in info.items()}
    slate = policy.act(obs, info, generator(1, "act"))
    for item in np.unique(slate.items):
        here = slate.items[:, 0] == item
        chance = slate.propensity[here][0, 0]
        assert here.mean() == pytest.approx(chance, abs=5 * np.sqrt(chance / 20_000))
    best = slate.propensity.max()
    assert best > 0.6
    assert slate.propensity.min() == pytest.approx(best - 0.6)


def easy(copies, k):
    """A shop in which popularity is all that counts, and what finds popular items."""
    world = tiny_world(items=40, topics=4)
    only = ShopperConfig(no_click=2.0, popularity=3.0, interest=0.0, repeat=0.0, search=0.0)
    shop = ShopVectorEnv(copies, world, ShopConfig(slate_size=k, horizon=10), only)
    popular = np.log(world.popularity)
    candidates = Candidates(world, popular, per_topic=5, per_search=0)
    return shop, candidates, lambda obs, info, items: popular[items]


def clicks(policy, k):
    return play(easy(300, k)[0], policy, steps=20, seed=1).click.sum(axis=0).mean()


def any_of(candidates, popular, k):
    """Candidates at random."""
    choice = Choice(k, epsilon=1.0)
    return CandidatePolicy("any", lambda seen: seen[:, -20:], candidates, popular, choice)


def test_a_policy_among_good_candidates_beats_random_pages():
    _, candidates, popular = easy(2, 3)
    policy = CandidatePolicy(
        "popular", lambda seen: seen[:, -candidates.size :], candidates, popular, Choice(3)
    )
    assert clicks(policy, 3) > 1.5 * clicks(RandomPolicy(3), 3)


@pytest.fixture(params=FRAMEWORKS)
def framework(request):
    return request.param


def test_dqn_learns_to_choose_one_candidate(framework):
    twin, (shop, candidates, popular) = load(framework), easy(20, 1)
    env = CandidateShop(shop, candidates, popular)
    config = DQNConfig(
        hidden_sizes=(16,), gamma=0.0, learning_rate=0.01, warmup=500, train_every=4,
        capacity=4_000, epsilon_steps=3_000,
    )  # fmt: skip
    size = {"obs_size": env.parts["utility"].stop, "num_actions": candidates.size}
    learner = twin.DQNLearner(config, **size, seed=0)
    training = Training(env, learner, seed=0).run(4_000)
    assert training.updates == 875
    policy = CandidatePolicy("DQN", learner.q_values, candidates, popular, Choice(1))
    assert clicks(policy, 1) > 1.2 * clicks(any_of(candidates, popular, 1), 1)


def test_a_policy_gradient_learns_slates_of_candidates(framework):
    module, (shop, candidates, popular) = load(framework, ".policy_gradient"), easy(20, 2)
    env = CandidateShop(shop, candidates, popular)
    config = ppo(
        slate_size=2, gamma=0.0, hidden_sizes=(16,), learning_rate=0.01, rollout_length=20,
        minibatch_size=100,
    )  # fmt: skip
    size = {"obs_size": env.parts["utility"].stop, "num_actions": candidates.size}
    learner = module.PolicyGradientLearner(config, **size, seed=0)
    PolicyTraining(env, learner, seed=0).run(8_000)
    policy = CandidatePolicy("PPO", learner.logits, candidates, popular, Choice(2))
    assert clicks(policy, 2) > 1.2 * clicks(any_of(candidates, popular, 2), 2)
