"""SARDINE behind the shop's interface."""

import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete

from companion.core.seeding import generator
from companion.envs.policies import Choice, RandomPolicy, ScorePolicy, StepResult, after_step, play
from companion.envs.sardine import DEFAULT, SardineVectorEnv, layout
from companion.envs.shop_candidates import Candidates, CandidateShop
from companion.envs.shop_page import MEMORY
from companion.envs.trials import episodes, paired
from companion.recommenders.choice_model import (
    collect_pages,
    fit_choice_model,
    fitted_utility,
    myopic_policy,
)
from companion.recommenders.sardine_features import NAMES, SardineFeatures
from companion.rl.rollout import Stepper

pytest.importorskip("sardine", reason="sardine-rec is not installed")

SINGLE = "sardine/SingleItem-BoredInf-v0"


def slates(seed, copies, places=10, items=1_000):
    return generator(seed).random((copies, items)).argsort(axis=1)[:, :places]


def test_each_copy_is_sardine_itself():
    shop = SardineVectorEnv(3, click=1.0)
    obs, info = shop.reset(seed=[5, 9, 12])
    alone = gymnasium.make(DEFAULT, disable_env_checker=True)
    rows = []
    seen, _ = alone.reset(seed=9)
    assert obs[1, shop.parts["recent"]] == pytest.approx(seen["hist"])
    for page in range(30):
        shown = slates(page, 3)
        obs, reward, terminated, _, info = shop.step(shown)
        seen, wanted, ended, _, _ = alone.step(shown[1])
        rows.append(wanted)
        assert reward[1] == wanted == info["click"][1].sum()
        np.testing.assert_array_equal(info["click"][1], seen["clicks"])
        assert obs[1, shop.parts["recent"]] == pytest.approx(seen["hist"])
        assert terminated[1] == ended == False  # noqa: E712
    assert len(set(rows)) > 2
    shop.reset()  # without a seed its own stream goes on
    alone.reset()
    for page in range(30):
        shown = slates(page, 3)
        np.testing.assert_array_equal(
            shop.step(shown)[4]["click"][1], alone.step(shown[1])[0]["clicks"]
        )


def test_observations_hold_recent_clicks_and_places_by_topic():
    shop = SardineVectorEnv(2)
    shop.reset(seed=0)
    first = np.array(shop._obs)
    found, info = [], None
    for page in range(2):
        shown = slates(page, 2)
        obs, *_, info = shop.step(shown)
        found.append((shop.world.topic[shown], info["click"]))
    for n in range(2):
        clicked = first[n, shop.parts["clicked"]] * MEMORY**2
        places = first[n, shop.parts["shown"]] * MEMORY**2
        for age, (topic, click) in enumerate(found[::-1]):
            share = MEMORY**age * (1 - MEMORY) / 10
            places += share * np.bincount(topic[n], minlength=10)
            clicked += share * np.bincount(topic[n], click[n], minlength=10)
        assert obs[n, shop.parts["clicked"]] == pytest.approx(clicked, abs=1e-6)
        assert obs[n, shop.parts["shown"]] == pytest.approx(places, abs=1e-6)
        assert obs[n, shop.parts["page"]] == pytest.approx(0.02)
    assert obs[:, shop.parts["shown"]].sum(axis=1) == pytest.approx(1 - MEMORY**3)


def test_parts_cover_the_observation():
    parts = layout(10)
    covered = np.concatenate([np.arange(part.start, part.stop) for part in parts.values()])
    assert covered.tolist() == list(range(31))
    shop = SardineVectorEnv(4)
    assert shop.single_observation_space == Box(0, 1, (31,), np.float32)
    for page in range(5):
        obs = shop.reset(seed=1)[0] if page == 0 else shop.step(slates(page, 4))[0]
        assert obs.dtype == np.float32
        assert shop.observation_space.contains(obs)


def test_an_episode_has_a_hundred_pages_and_the_next_begins_in_the_same_step():
    shop = SardineVectorEnv(2)
    obs, info = shop.reset(seed=3)
    for page in range(100):
        assert info["page"].tolist() == [page, page]
        before = info
        result = StepResult(*shop.step(slates(page, 2)))
        info = result.info
        assert result.terminated.tolist() == [page == 99] * 2
        assert not result.truncated.any()
    assert info["page"].tolist() == [0, 0]
    assert info["final_info"]["page"].tolist() == [100, 100]
    after = after_step(before, result)
    assert after["next_obs"][:, shop.parts["page"].start].tolist() == [1, 1]
    assert result.next_obs[:, shop.parts["page"].start].tolist() == [0, 0]
    assert result.next_obs[:, shop.parts["shown"]].sum(axis=1) == pytest.approx(1 - MEMORY)
    np.testing.assert_array_equal(after["click"], info["click"])
    np.testing.assert_array_equal(result.reward, 0.2 * info["click"].sum(axis=1))


def test_info_speaks_the_shops_words():
    shop = SardineVectorEnv(6)
    _, info = shop.reset(seed=0)
    assert info["action_mask"].shape == (6, 1_000)
    assert info["action_mask"].all()
    assert info["search"].tolist() == [-1] * 6
    assert info["user"].tolist() == info["visit"].tolist() == [0] * 6
    several = 0
    for page in range(40):
        *_, info = shop.step(slates(page, 6))
        several += (info["click"].sum(axis=1) > 1).sum()
        for n, clicked in enumerate(info["click"]):
            places = np.flatnonzero(clicked)
            assert info["position"][n] == (places[0] if len(places) else -1)
        assert not info["cart"].any()
        assert not info["purchase"].any()
        assert info["revenue"].tolist() == [0] * 6
        assert info["cart"].shape == info["purchase"].shape == info["click"].shape == (6, 10)
        assert {f"_{name}" for name in info if name[0] != "_"} <= set(info)
    assert several > 0


def test_a_seed_fixes_users_and_luck_and_streams_go_on_without_one():
    def clicks(shop, **seed):
        shop.reset(**seed)
        return np.array([shop.step(slates(page, 2))[4]["click"] for page in range(15)])

    shop, other = SardineVectorEnv(2), SardineVectorEnv(2)
    first = clicks(shop, seed=7)
    np.testing.assert_array_equal(first, clicks(other, seed=[7, 8]))
    later = clicks(shop)
    assert not np.array_equal(first, later)
    np.testing.assert_array_equal(later, clicks(other))
    assert not np.array_equal(first[:, 0], first[:, 1])


def test_a_page_of_one_item_takes_numbers():
    shop = SardineVectorEnv(3, SINGLE, click=0.5)
    shop.reset(seed=0)
    assert shop.single_action_space == Discrete(1_000)
    _, reward, _, _, info = shop.step(np.array([1, 2, 3]))
    assert info["click"].shape == (3, 1)
    np.testing.assert_array_equal(reward, 0.5 * info["click"][:, 0])
    assert shop.action_space.contains(shop.action_space.sample())


def test_slates_that_are_drawn_can_be_shown():
    shop = SardineVectorEnv(3)
    shop.action_space.seed(0)
    shop.reset(seed=0)
    drawn = shop.action_space.sample()
    assert shop.action_space.contains(drawn)
    _, reward, _, _, info = shop.step(drawn)
    np.testing.assert_allclose(reward, 0.2 * info["click"].sum(axis=1))
    np.testing.assert_array_equal(info["page"], 1)


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (-1, "shopper 1: item -1 is not in the catalogue"),  # SARDINE's own oracle
        (-2, "shopper 1: item -2 is not in the catalogue"),  # and its contrary
        (1_000, "shopper 1: item 1000 is not in the catalogue"),
        (40, "shopper 1: item 40 stands twice in the slate"),
    ],
)
def test_items_that_cannot_be_shown_are_refused(item, says):
    shop = SardineVectorEnv(2)
    shop.reset(seed=0)
    shown = np.arange(40, 60).reshape(2, 10)[::-1].copy()  # [50 ... 59], [40 ... 49]
    shown[1, 9] = item
    with pytest.raises(ValueError, match=says):
        shop.step(shown)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="num_envs must be 1 or more; got 0"):
        SardineVectorEnv(0)
    with pytest.raises(ValueError, match="click must be a finite number; got nan"):
        SardineVectorEnv(1, click=float("nan"))
    with pytest.raises(ValueError, match=r"one of sardine/SingleItem.*; got 'CartPole-v1'"):
        SardineVectorEnv(1, "CartPole-v1")
    with pytest.raises(ValueError, match="render_mode must be None"):
        SardineVectorEnv(1, render_mode="human")
    shop = SardineVectorEnv(2)
    with pytest.raises(ResetNeeded):
        shop.step(slates(0, 2))
    with pytest.raises(ValueError, match="there must be 2 seeds; got 3"):
        shop.reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="there must be 2 seeds; got 0"):
        shop.reset(seed=[])
    with pytest.raises(ValueError, match="reset_mask is not taken"):
        shop.reset(options={"reset_mask": np.ones(2, bool)})
    shop.reset(seed=0)
    with pytest.raises(ValueError, match=r"shape \[2, 10\]; got int64 of shape \[2, 9\]"):
        shop.step(slates(0, 2, places=9))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sardine", None)
    with pytest.raises(ImportError, match="pip install sardine-rec"):
        SardineVectorEnv(1)


def test_relevance_is_what_sardine_computes():
    shop = SardineVectorEnv(1)
    shop.reset(seed=2)
    alone = gymnasium.make(DEFAULT, disable_env_checker=True)
    alone.reset(seed=2)
    for page in range(20):
        relevance, shown = shop.relevance(), slates(page, 1)
        *_, info = alone.step(shown[0])
        np.testing.assert_allclose(relevance[0, shown[0]], info["relevances"], atol=1e-9)
        shop.step(shown)


@pytest.fixture(scope="module")
def fitted():
    """A choice model from the log of a random policy."""
    shop = SardineVectorEnv(20)
    pairs = SardineFeatures(shop.world, shop.parts)
    pages = collect_pages(shop, RandomPolicy(10), pairs, steps=200, seed=0)
    return shop, pairs, fit_choice_model(pages)


def test_policies_run_unchanged_and_the_better_informed_is_better(fitted):
    shop, pairs, model = fitted
    oracle = ScorePolicy("oracle", lambda obs, info: shop.relevance(), Choice(10))
    ours = (RandomPolicy(10), myopic_policy(model, pairs, 10), oracle)
    random, choice, best = (episodes(one, shop, shoppers=20, seed=1).clicks for one in ours)
    assert random.mean() == pytest.approx(42, abs=8)  # published headroom: 40.7 and 143.0
    assert best.mean() == pytest.approx(145, abs=15)
    assert paired(choice, random, seed=0).low > 0
    assert paired(best, choice, seed=0).low > 0


def test_candidates_and_rollouts_run_unchanged(fitted):
    shop, pairs, model = fitted
    scores = shop.world.vectors.max(axis=1)
    candidates = Candidates(shop.world, scores, per_topic=3, per_search=2)
    envs = CandidateShop(shop, candidates, fitted_utility(model, pairs))
    obs, info = envs.reset(seed=0)
    assert obs.shape == (20, 31 + 32)
    assert info["action_mask"].sum(axis=1).tolist() == [30] * 20  # nobody searches
    for topic in range(10):
        items = info["candidates"][0, 3 * topic : 3 * topic + 3]
        assert (shop.world.topic[items] == topic).all()
    played = play(envs, RandomPolicy(10), steps=102, seed=0)
    assert played.terminated.sum() == 20
    assert played.click.sum() > 0
    single = CandidateShop(SardineVectorEnv(4, SINGLE), candidates, fitted_utility(model, pairs))
    stepper = Stepper(single)
    stepper.reset(0)
    steps = [stepper.step(np.full(4, page % 30)) for page in range(101)]
    ended = np.array([step.terminated for step in steps])
    assert np.flatnonzero(ended.any(axis=1)).tolist() == [99]
    page = single.env.parts["page"].start
    assert steps[99].next_obs[:, page].tolist() == [1] * 4  # the true last one
    assert steps[100].obs[:, page].tolist() == [0] * 4


# --- features -------------------------------------------------------------------------------------


def test_features_by_hand():
    shop = SardineVectorEnv(1)
    pairs, parts = SardineFeatures(shop.world, shop.parts), shop.parts
    assert pairs.size == len(NAMES) == len(pairs.names)
    obs = np.zeros((2, 31), np.float32)
    item = 17
    topic, share = shop.world.topic[item], shop.world.vectors[item]
    obs[1, parts["clicked"].start + topic] = 0.04
    obs[1, parts["shown"].start + topic] = 0.15
    obs[1, parts["recent"].start + topic] = 0.4
    other = (topic + 1) % 10
    obs[1, parts["recent"].start + other] = 0.6
    x = pairs(obs, {}, np.array([[item, 3], [item, 3]]))
    assert x.shape == (2, 2, len(NAMES))
    empty = dict(zip(NAMES, x[0, 0], strict=True))
    assert empty["rate"] == empty["rate of the topic"] == pytest.approx(0.2)
    assert empty["constant"] == 1
    assert x[0, 0, 3:].tolist() == [0] * 5
    told = dict(zip(NAMES, x[1, 0], strict=True))
    own = share[topic] / share.sum()
    assert told["rate of the topic"] == pytest.approx(0.05 / 0.2)
    assert told["rate"] == pytest.approx(own * 0.25 + (1 - own) * 0.2)
    assert [told[name] for name in NAMES[3:]] == pytest.approx([0.4, 0.16, 1.5, 0.4, 0.6])
    whole = pairs(obs, {})
    assert whole.shape == (2, 1_000, len(NAMES))
    np.testing.assert_array_equal(whole[:, [item, 3]], x)


def test_features_need_their_parts():
    world = SardineVectorEnv(1).world
    with pytest.raises(ValueError, match=r"the part 'recent'; it has \['clicked', 'shown'\]"):
        SardineFeatures(world, {"clicked": slice(0, 10), "shown": slice(10, 20)})
