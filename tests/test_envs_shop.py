"""The shop as an environment: what Gymnasium asks for, and what a skeptic does."""

import math
import warnings
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from tiny_shop import PLAIN, tiny_world

import companion.envs  # noqa: F401 - registers the shop
from companion.envs.shop import ShopConfig, ShopEnv, ShopVectorEnv, SlateSpace, layout
from companion.envs.shop_tables import with_newcomers
from companion.envs.shopper import ShopperConfig
from companion.rl.rollout import Stepper, as_vector, make_envs

BUSY = ShopperConfig(no_click=0.5, cart=1.0, purchase=1.0, patience=3.0)  # all happens, often


def one(shopper=BUSY, **settings):
    return ShopEnv(tiny_world(), shopper=shopper, **{"slate_size": 3, **settings})


def many(copies, shopper=BUSY, **settings):
    return ShopVectorEnv(copies, tiny_world(), shopper=shopper, **{"slate_size": 3, **settings})


def slates(mask, rng, places=3):
    """Allowed slates at random, [N, K]."""
    return np.where(mask, rng.random(mask.shape), 9.0).argsort(axis=1)[:, :places]


def play(env, pages, seed=0):
    """Every step of a vector environment under random slates: actions and what came back."""
    rng = np.random.default_rng(seed)
    obs, info = env.reset(seed=seed)
    found = []
    for _ in range(pages):
        action = slates(info["action_mask"], rng, env.floor.config.slate_size)
        step = env.step(action)
        found.append((obs, info, action, *step))
        obs, info = step[0], step[4]
    return found


# What Gymnasium asks for


@pytest.mark.parametrize("places", [1, 3])
def test_gymnasium_s_own_check(places):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*render.*")
        check_env(one(slate_size=places))


def test_the_shop_is_registered_in_both_forms():
    env = gymnasium.make("companion/Shop-v0", world=tiny_world(), slate_size=1)
    assert env.action_space == gymnasium.spaces.Discrete(12)
    vector = make_envs("companion/Shop-v0", 4, world=tiny_world(), slate_size=2)
    assert isinstance(vector, ShopVectorEnv)
    assert vector.single_action_space.shape == (2,)
    assert vector.action_space.shape == (4, 2)


def test_spaces_hold_what_is_sampled_and_seen():
    for env in (one(), one(slate_size=1), many(5), many(5, slate_size=1)):
        obs, _ = env.reset(seed=0)
        for _ in range(20):
            assert env.observation_space.contains(obs)
            action = env.action_space.sample()
            assert env.action_space.contains(action)
            env.reset()
            obs = env.step(action)[0]


def test_a_slate_space_samples_distinct_allowed_items_evenly():
    space = SlateSpace(6, (2000, 3), seed=0)
    mask = np.array([True, True, False, True, True, True])
    drawn = space.sample(mask)
    assert all(len(set(row)) == 3 for row in drawn)
    share = np.bincount(drawn[:, 0], minlength=6) / 2000
    np.testing.assert_allclose(share, mask / 5, atol=0.04)
    with pytest.raises(ValueError, match="the mask leaves fewer than 3 items"):
        space.sample(np.arange(6) < 2)
    with pytest.raises(ValueError, match="takes no probability"):
        space.sample(probability=mask)
    assert not SlateSpace(6, (3,)).contains(np.array([1, 1, 2]))
    assert SlateSpace(6, (3,)).contains(np.array([1, 0, 2]))
    assert not SlateSpace(6, (3,)).contains(np.array([1, 0, 6]))


def test_the_stepper_of_the_learners_takes_it():
    for env in (make_envs("companion/Shop-v0", 3, world=tiny_world(), slate_size=1),
                as_vector(one(slate_size=1))):  # fmt: skip
        stepper = Stepper(env)
        stepper.reset(seed=0)
        rng = np.random.default_rng(0)
        for _ in range(200):
            step = stepper.step(slates(stepper.mask, rng, 1)[:, 0])
            assert np.isfinite(step.next_obs).all()
        assert stepper.num_actions == 12


# Seeds


def test_a_seed_repeats_everything_and_another_does_not():
    runs = [play(many(4), 60, seed) for seed in (5, 5, 6)]
    obs = [np.stack([step[3] for step in run]) for run in runs]
    np.testing.assert_array_equal(obs[0], obs[1])
    assert not np.array_equal(obs[0], obs[2])


def test_episodes_of_one_stream_differ():
    env = one()
    first = [env.reset(seed=3)[0]] + [env.reset()[0] for _ in range(7)]
    again = [env.reset(seed=3)[0]] + [env.reset()[0] for _ in range(7)]
    np.testing.assert_array_equal(first, again)
    assert len({obs.tobytes() for obs in first}) > 2


def test_an_episode_begins_afresh_whatever_happened_before():
    states = []
    for no_click in (-60.0, 60.0):
        env = many(6, replace(BUSY, no_click=no_click, cart=60.0, purchase=60.0))
        play(env, 5)
        env.reset(seed=4)
        for _ in range(5):
            env.step(slates(env.floor.state.allowed, np.random.default_rng(0)))
        env.floor.state.episode[:] = 1
        env.reset()
        states.append(env.floor.state)
    for name in states[0]._fields:
        np.testing.assert_array_equal(*(getattr(state, name) for state in states), err_msg=name)


def test_without_a_seed_two_shops_differ():
    found = [many(20) for _ in range(2)]
    users = [env.reset()[1]["user"].tolist() for env in found]
    assert users[0] != users[1]


def test_each_shopper_of_many_is_the_one_that_she_is_alone():
    """Episode after episode, with autoreset on one side and reset() on the other."""
    seeds = [11, 5, 700]
    together, ended = play_with(many(3, visits=2, horizon=9), seeds, 80), 0
    for n, seed in enumerate(seeds):
        env = one(visits=2, horizon=9)
        obs, info = env.reset(seed=seed)
        for before, known, action, *step in together:
            np.testing.assert_array_equal(before[n], obs)
            assert known["user"][n] == info["user"]
            np.testing.assert_array_equal(known["action_mask"][n], info["action_mask"])
            obs, reward, terminated, truncated, info = env.step(action[n])
            after, rewards, terminations, truncations, infos = step
            found = (reward, terminated, truncated)
            assert found == (rewards[n], terminations[n], truncations[n])
            for name in ("click", "cart", "purchase"):
                np.testing.assert_array_equal(infos[name][n], info[name])
            assert infos["position"][n] == info["position"]
            if terminated or truncated:
                np.testing.assert_array_equal(infos["final_obs"][n], obs)
                last = {k: v[n] for k, v in infos["final_info"].items() if k[0] != "_"}
                assert last.keys() == info.keys()
                assert all(np.array_equal(last[k], info[k]) for k in info)
                obs, info = env.reset()
                ended += 1
            np.testing.assert_array_equal(after[n], obs)
    assert ended > 20


def play_with(env, seeds, pages):
    rng = np.random.default_rng(0)
    obs, info = env.reset(seed=seeds)
    found = []
    for _ in range(pages):
        action = slates(info["action_mask"], rng)
        step = env.step(action)
        found.append((obs, info, action, *step))
        obs, info = step[0], step[4]
    return found


def test_copies_get_seeds_that_count_up():
    together = many(3).reset(seed=40)[0]
    np.testing.assert_array_equal(together[2], one().reset(seed=42)[0])


def test_two_policies_meet_the_same_shoppers_with_the_same_luck():
    """Whatever is shown, the next shopper of a stream is the same one."""
    users = []
    for shown in ([0, 1, 2], [9, 10, 11]):
        env, found = many(50, replace(BUSY, cart=-50.0), visits=1), []
        _, info = env.reset(seed=0)
        for _ in range(100):
            episode = env.floor.state.episode.copy()
            found += zip(range(50), episode, info["user"], strict=True)
            info = env.step(np.tile(shown, (50, 1)))[4]
        users.append({(n, e): u for n, e, u in found})
    common = users[0].keys() & users[1].keys()
    assert len(common) > 400
    assert all(users[0][key] == users[1][key] for key in common)


# What happens on a page


def test_purchase_implies_cart_implies_click_and_at_most_one_of_each():
    clicks = carts = purchases = 0
    for *_, info in play(many(50), 60):
        click, cart, purchase = info["click"], info["cart"], info["purchase"]
        assert (click.sum(axis=1) <= 1).all()
        assert not (cart & ~click).any()
        assert not (purchase & ~cart).any()
        where = np.where(click.any(axis=1), click.argmax(axis=1), -1)
        np.testing.assert_array_equal(where, info["position"])
        clicks, carts, purchases = (
            clicks + click.sum(), carts + cart.sum(), purchases + purchase.sum()
        )  # fmt: skip
    assert clicks > carts > purchases > 100


def test_reward_and_revenue_are_the_declared_weights():
    env = many(50, click=1.0, cart=10.0, purchase=100.0)
    seen = set()
    for _, _, action, _, reward, _, _, info in play(env, 60):
        expected = (
            info["click"].sum(1) + 10.0 * info["cart"].sum(1) + 100.0 * info["purchase"].sum(1)
        )
        np.testing.assert_array_equal(reward, expected)
        price = (info["purchase"] * env.floor.world.price[action]).sum(axis=1)
        np.testing.assert_allclose(info["revenue"], price)
        seen |= set(reward)
    assert seen == {0.0, 1.0, 11.0, 111.0}


def test_what_is_in_the_cart_is_not_shown_again_in_this_visit():
    put = refused = 0
    for _, before, action, _, _, terminated, truncated, info in play(many(50), 60):
        going = ~(terminated | truncated) & (info["visit"] == before["visit"])
        for n in np.flatnonzero(going):
            expected = before["action_mask"][n].copy()
            for item in action[n][info["cart"][n]]:
                if expected.sum() > 3:
                    expected[item] = False
                    put += 1
            np.testing.assert_array_equal(info["action_mask"][n], expected)
            refused += not expected.all()
        fresh = (info["page"] == 0) & ~going
        assert info["action_mask"][fresh].all()
    assert put > 200
    assert refused > 200


def test_an_item_in_the_cart_is_refused_by_name():
    env = one(replace(PLAIN, no_click=-60.0, cart=60.0))
    env.reset(seed=0)
    info = env.step(np.array([4, 5, 6]))[4]
    item = [4, 5, 6][info["position"]]
    with pytest.raises(ValueError, match=f"shopper 0: item {item} is in the cart already"):
        env.step(np.array([item, 0, 1]))


def test_a_page_of_items_is_always_left():
    env = one(replace(PLAIN, no_click=-60.0, cart=60.0), horizon=100)
    _, info = env.reset(seed=0)
    for _ in range(40):
        info = env.step(np.flatnonzero(info["action_mask"])[:3])[4]
    assert info["action_mask"].sum() == 3


# Ends


def test_leaving_terminates_and_the_horizon_truncates():
    leave = many(4, replace(PLAIN, patience=1.5, no_click=60.0), visits=1, horizon=50)
    ends = [(step[5], step[6]) for step in play(leave, 4)]
    assert [bool(t.all()) for t, _ in ends] == [False, True, False, True]
    assert not any(t.any() for _, t in ends)
    stay = many(4, replace(PLAIN, no_click=60.0), visits=1, horizon=3)
    ends = [(step[5], step[6]) for step in play(stay, 6)]
    assert [bool(t.all()) for _, t in ends] == [False, False, True] * 2
    assert not any(t.any() for t, _ in ends)


def test_who_leaves_for_ever_on_the_last_page_is_terminated_not_truncated():
    env = many(4, replace(PLAIN, patience=1.5, no_click=60.0), visits=1, horizon=2)
    *_, terminated, truncated, _ = play(env, 2)[-1]
    assert terminated.all()
    assert not truncated.any()


def test_one_visit_is_one_episode_and_more_are_counted():
    base = replace(PLAIN, patience=1.5, no_click=60.0, returning=math.inf)
    steps = play(many(2, base, visits=3, horizon=50), 12)
    assert [step[1]["visit"][0] for step in steps] == [0, 0, 1, 1, 2, 2] * 2
    assert [step[1]["page"][0] for step in steps] == [0, 1] * 6
    assert [bool(step[5][0]) for step in steps] == ([False] * 5 + [True]) * 2
    days = [step[1]["day"][0] for step in steps]
    assert days[0] == days[1] == days[6] == 0 < days[2] < days[4]


def test_nobody_comes_back_with_returning_off():
    base = replace(PLAIN, patience=1.5, no_click=60.0)
    steps = play(many(30, base, visits=9, horizon=50), 2)
    assert steps[-1][5].all()


def test_a_step_needs_a_reset_before_and_after():
    env = one(replace(PLAIN, patience=0.5, no_click=60.0), visits=1)
    for shop in (env, many(2)):
        with pytest.raises(ResetNeeded):
            shop.step(np.array([0, 1, 2]))
    env.reset(seed=0)
    assert env.step(np.array([0, 1, 2]))[2]
    with pytest.raises(ResetNeeded):
        env.step(np.array([0, 1, 2]))


# What the agent sees


def test_the_parts_of_an_observation_by_hand():
    world = tiny_world()
    shopper = replace(PLAIN, patience=3.5, returning=math.inf, search=1.0)
    env = ShopEnv(world, shopper=shopper, slate_size=3, horizon=20, visits=4)
    obs, info = env.reset(seed=0)
    parts, user = layout(env.floor.config, world), info["user"]
    counts = np.bincount(world.topic, world.bought[user], minlength=3)
    np.testing.assert_allclose(obs[parts["bought"]], counts / counts.sum(), rtol=1e-6)
    level = world.price_level[user]
    assert obs[parts["price_level"]] == pytest.approx(level / (1 + level))
    assert obs[parts["history"]] == pytest.approx(counts.sum() / (counts.sum() + 50))
    assert obs[parts["searched"]].tolist() == np.eye(3)[world.topic[info["search"]]].tolist()
    for name in ("clicked", "shown", "ordered", "page", "visit", "away", "clicks"):
        assert not obs[parts[name]].any()
    env.floor.facts.appeal[4] = 200.0  # of topic 1: clicked for sure
    env.step(np.array([4, 0, 3]))
    env.floor.facts.appeal[4] = -200.0
    env.floor.facts.appeal[[0, 3]] = -200.0
    obs = env.step(np.array([4, 0, 3]))[0]
    np.testing.assert_allclose(obs[parts["clicked"]], [0, 0.2 * 0.8, 0], rtol=1e-6)
    shown = 0.2 * (1 + 0.8) * np.array([2, 1, 0]) / 3
    np.testing.assert_allclose(obs[parts["shown"]], shown, rtol=1e-6)
    assert obs[parts["page"]] == pytest.approx(math.log(3) / math.log(21))
    assert obs[parts["clicks"]] == pytest.approx(0.5)
    env.step(np.array([4, 0, 3]))
    obs, *_, info = env.step(np.array([4, 0, 3]))
    assert info["visit"] == 1
    assert obs[parts["visit"]] == pytest.approx(0.25)
    assert obs[parts["away"]] == pytest.approx(math.log1p(world.gap[user]) / math.log(366))


def test_the_observation_holds_what_was_bought_in_this_episode():
    shopper = replace(PLAIN, patience=9.0, cart=50.0, purchase=50.0)  # a click is a purchase
    env = ShopEnv(tiny_world(), shopper=shopper, slate_size=2, horizon=4, visits=1)
    obs, info = env.reset(seed=0)
    ordered, topic = layout(env.floor.config, env.floor.world)["ordered"], env.floor.world.topic
    env.floor.facts.appeal[:] = 200.0
    bought = np.zeros(3)
    for _ in range(3):
        slate = np.flatnonzero(info["action_mask"])[:2]
        obs, *_, info = env.step(slate)
        bought[topic[slate[info["position"]]]] += 1
        np.testing.assert_allclose(obs[ordered], bought / (bought + 1), rtol=1e-6)
    assert bought.max() > 1
    assert not env.reset()[0][ordered].any()


def test_the_layout_covers_the_observation_once():
    env = one()
    parts = layout(env.floor.config, env.floor.world)
    covered = np.concatenate([np.arange(part.start, part.stop) for part in parts.values()])
    assert covered.tolist() == list(range(env.observation_space.shape[0]))


def test_a_hidden_taste_changes_no_observation_unless_by_what_she_clicks():
    """The same log, another taste: the same observations as long as the clicks are the same."""
    world = tiny_world(users=40)
    other = world._replace(taste=world.taste[:, ::-1].copy(), vectors=world.vectors[::-1].copy())
    quiet = replace(ShopperConfig(), no_click=60.0, search=0.0)
    seen = []
    for known in (world, other):
        env = ShopVectorEnv(40, known, shopper=quiet, slate_size=3)
        seen.append(np.stack([step[3] for step in play(env, 50)]))
        assert env.hidden().interest.std() > 0.05
    np.testing.assert_array_equal(seen[0], seen[1])


def test_hidden_state_is_a_copy():
    env = many(2)
    env.reset(seed=0)
    env.hidden().interest[:] = 0
    assert env.floor.state.interest.sum() == pytest.approx(2)


def test_infos_and_observations_are_not_written_into_later():
    env = many(6)
    steps = play(env, 1)
    obs, info = steps[0][3], steps[0][7]
    kept = obs.copy(), {k: v.copy() for k, v in info.items() if not k.startswith(("final", "_f"))}
    for _ in range(10):
        env.step(slates(env.floor.state.allowed, np.random.default_rng(0)))
    np.testing.assert_array_equal(obs, kept[0])
    for name, table in kept[1].items():
        np.testing.assert_array_equal(info[name], table)


def test_a_shopper_without_a_history_is_seen_as_one_and_behaves():
    world = with_newcomers(tiny_world(), 0.999)
    env = ShopVectorEnv(20, world, shopper=BUSY, slate_size=3)
    obs, info = env.reset(seed=0)
    new = info["user"] == 4
    assert new.mean() > 0.8
    parts = layout(env.floor.config, world)
    assert not obs[new][:, parts["bought"]].any()
    assert not obs[new][:, parts["history"]].any()
    clicks = sum(step[7]["click"][new].sum() for step in play(env, 40))
    assert clicks > 50


# Bad input


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ([0, 1, 12], "shopper 0: item 12 is not in the catalogue; items are 0 to 11"),
        ([-1, 1, 2], "shopper 0: item -1 is not in the catalogue"),
        ([5, 1, 5], "shopper 0: item 5 stands twice in the slate"),
        ([1, 5, 5], "shopper 0: item 5 stands twice in the slate"),
        ([0, 1], r"whole numbers of shape \[3\]; got int64 of shape \[2\]"),
        ([[0, 1, 2]], r"got int64 of shape \[1, 3\]"),
        ([0.0, 1.0, 2.0], "got float64"),
        ([True, False, True], "got bool"),
    ],
)
def test_a_slate_that_cannot_be_shown(action, says):
    env = one()
    env.reset(seed=0)
    before = env.floor.state.pages.copy()
    with pytest.raises(ValueError, match=says):
        env.step(np.array(action))
    np.testing.assert_array_equal(env.floor.state.pages, before)


def test_the_row_of_the_wrong_slate_is_named():
    env = many(3)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="shopper 2: item 7 stands twice"):
        env.step(np.array([[0, 1, 2], [0, 1, 2], [7, 1, 7]]))
    with pytest.raises(ValueError, match=r"shape \[3, 3\]; got int64 of shape \[2, 3\]"):
        env.step(np.array([[0, 1, 2], [0, 1, 2]]))


def test_single_items_come_as_numbers_or_arrays():
    env = one(slate_size=1)
    for action in (3, np.int64(3), np.array([3])):
        env.reset(seed=0)
        env.step(action)
    with pytest.raises(ValueError, match=r"item 12 is not in the catalogue"):
        env.step(12)
    vector = many(4, slate_size=1)
    for action in (np.full(4, 2), np.full((4, 1), 2)):
        vector.reset(seed=0)
        vector.step(action)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"slate_size": 13}, "slate_size is 13, but the catalogue has 12 items"),
        ({"slate_size": 0}, "slate_size must be a whole number, 1 or more; got 0"),
        ({"horizon": 0}, "horizon must be a whole number"),
        ({"visits": 1.5}, "visits must be a whole number, 1 or more; got 1.5"),
        ({"click": math.nan}, "click must be a finite number"),
        ({"render_mode": "human"}, "render_mode must be None"),
    ],
)
def test_settings_that_cannot_be(settings, says):
    with pytest.raises(ValueError, match=says):
        one(**settings)


def test_a_setting_that_there_is_not():
    with pytest.raises(TypeError, match="colour"):
        one(colour="red")


def test_numbers_of_copies_and_of_seeds():
    with pytest.raises(ValueError, match="num_envs must be 1 or more; got 0"):
        many(0)
    with pytest.raises(ValueError, match="there must be 2 seeds; got 3"):
        many(2).reset(seed=[1, 2, 3])
    with pytest.raises(ValueError, match="there must be 2 seeds; got 0"):
        many(2).reset(seed=[])
    with pytest.raises(ValueError, match="reset_mask is not taken"):
        many(2).reset(options={"reset_mask": np.ones(2, bool)})


def test_a_slate_may_be_the_whole_catalogue():
    env = one(slate_size=12)
    _, info = env.reset(seed=0)
    for _ in range(30):
        assert info["action_mask"].all()
        *_, terminated, truncated, info = env.step(np.arange(12))
        if terminated or truncated:
            _, info = env.reset()


def test_the_defaults_are_those_of_the_docs():
    config = ShopConfig()
    assert (config.slate_size, config.click, config.cart, config.purchase) == (10, 0.2, 0.0, 1.0)
