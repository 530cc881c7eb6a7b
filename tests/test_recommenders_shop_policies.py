import gymnasium as gym
import numpy as np
import pytest
from tiny_shop import small_world

from companion.core.seeding import generator
from companion.envs.policies import (
    Choice,
    Policy,
    RandomPolicy,
    ScorePolicy,
    StepResult,
    after_step,
    gathered,
    play,
)
from companion.envs.shop import ShopConfig, ShopEnv, ShopVectorEnv, layout
from companion.envs.shop_tables import topic_prices
from companion.envs.slates import Slate, plackett_luce_propensity
from companion.recommenders.linear_arms import DisjointArms, SharedArms
from companion.recommenders.linear_bandits import LinearBanditConfig, LinearThompson, LinUCB
from companion.recommenders.shop_features import NAMES, ContextFeatures, PairFeatures
from companion.recommenders.shop_policies import (
    ExploringPolicy,
    own_frequency_policy,
    popularity_policy,
)

WORLD = small_world()
NEWCOMER = WORLD.num_users - 1


def asked(users, mask=None):
    """obs and info of shoppers whose observation does not matter."""
    mask = np.ones((len(users), WORLD.num_items), bool) if mask is None else mask
    return np.zeros((len(users), 4)), {"user": np.array(users), "action_mask": mask}


# Fixed policies


def test_popularity_shows_everyone_what_sells_best():
    slate = popularity_policy(WORLD, Choice(4)).act(*asked([0, 3]), generator(0, "act"))
    best = np.argsort(-WORLD.popularity)[:4]
    np.testing.assert_array_equal(slate.items, [best, best])
    mask = np.ones((1, WORLD.num_items), bool)
    mask[0, best[0]] = False
    slate = popularity_policy(WORLD, Choice(3)).act(*asked([0], mask), generator(0, "act"))
    np.testing.assert_array_equal(slate.items, [best[1:]])


def test_own_frequency_shows_what_the_household_bought_and_popularity_decides_the_rest():
    policy = own_frequency_policy(WORLD, Choice(WORLD.num_items))
    slate = policy.act(*asked(range(WORLD.num_users)), generator(0, "act"))
    for user in range(WORLD.num_users):
        wish = sorted(range(WORLD.num_items),
                      key=lambda i: (-WORLD.bought[user, i], -WORLD.popularity[i]))  # fmt: skip
        assert slate.items[user].tolist() == wish
    assert len(np.unique(slate.items[:, 0])) > 1


def test_a_shopper_without_history_gets_the_popular():
    own = own_frequency_policy(WORLD, Choice(3)).act(*asked([NEWCOMER]), generator(0, "act"))
    popular = popularity_policy(WORLD, Choice(3)).act(*asked([NEWCOMER]), generator(0, "act"))
    np.testing.assert_array_equal(own.items, popular.items)


def test_a_choice_is_the_best_or_explores():
    scores, mask = np.array([3.0, 1.0, 2.0, 0.0]), np.ones((4_000, 4), bool)
    assert (Choice(2)(scores, mask, generator(0, "c")).items == [0, 2]).all()
    greedy = Choice(2, epsilon=0.2)(scores, mask, generator(0, "c"))
    assert set(np.round(np.unique(greedy.propensity[:, 0]), 9)) == {0.05, 0.85}
    soft = Choice(2, temperature=0.5)(scores, mask, generator(0, "c"))
    np.testing.assert_allclose(
        soft.propensity, plackett_luce_propensity(scores, mask, soft.items, temperature=0.5)
    )
    assert len(np.unique(soft.items[:, 0])) == 4
    slate = ScorePolicy("mine", lambda obs, info: scores, Choice(2, epsilon=0.2)).act(
        np.zeros((4_000, 1)), {"action_mask": mask}, generator(0, "c")
    )
    np.testing.assert_array_equal(slate.items, greedy.items)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"slate_size": 0}, "slate_size must be 1 or more; got 0"),
        ({"epsilon": -0.1}, r"epsilon must be from 0 to 1; got -0\.1"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"temperature": 1.0, "epsilon": 0.1}, "choose one of epsilon and temperature"),
    ],
)
def test_choices_that_make_no_sense(settings, says):
    with pytest.raises(ValueError, match=says):
        Choice(**settings)
    if "slate_size" in settings:
        with pytest.raises(ValueError, match=says):
            RandomPolicy(**settings)


def test_a_policy_that_explores_shows_its_own_slate_in_order_with_random_items_between():
    n = 20_000
    own = own_frequency_policy(WORLD, Choice(3))
    obs, info = asked([1] * n)
    base = own.act(obs, info, generator(0, "base")).items[0].tolist()
    slate = ExploringPolicy(own, 0.25).act(obs, info, generator(0, "explore"))
    for row in range(200):
        left, count = list(base), WORLD.num_items
        for item, chance in zip(slate.items[row], slate.propensity[row], strict=True):
            greedy = 0.75 if item == left[0] else 0.0
            assert chance == pytest.approx(greedy + 0.25 / count)
            count -= 1
            if item in left:
                left.remove(item)
    assert (slate.items[:, 0] == base[0]).mean() == pytest.approx(0.75 + 0.25 / 12, abs=0.015)
    assert (1 / slate.propensity[slate.items[:, 0] == 5, 0]).sum() / n == pytest.approx(1, abs=0.15)
    assert ExploringPolicy(own, 0.25).name == "own frequency, epsilon 0.25"


def test_a_policy_that_draws_its_slates_cannot_be_made_to_explore():
    with pytest.raises(ValueError, match="shopper 0: random must not explore itself"):
        ExploringPolicy(RandomPolicy(2), 0.1).act(*asked([0]), generator(0, "act"))
    with pytest.raises(ValueError, match=r"epsilon must be from 0 to 1; got 1\.1"):
        ExploringPolicy(RandomPolicy(2), 1.1)


def test_a_policy_that_explores_learns_from_what_was_really_shown():
    lessons = []
    base = popularity_policy(WORLD, Choice(2))
    base.learn = lambda *page: lessons.append(page)
    page = (np.zeros((1, 4)), Slate(np.array([[0, 1]]), np.ones((1, 2))), {})
    ExploringPolicy(base, 0.1).learn(*page)
    assert lessons == [page]


# Features


def test_the_features_of_a_pair_by_hand():
    config = ShopConfig(slate_size=3)
    parts = layout(config, WORLD)
    pairs = PairFeatures(WORLD, parts)
    rng = generator(0, "features")
    obs = rng.random((2, 5 * WORLD.num_topics + 6)).astype(np.float32)
    info = {"user": np.array([1, NEWCOMER]), "search": np.array([WORLD.kind[7], -1])}
    x = pairs(obs, info)
    assert x.shape == (2, WORLD.num_items, pairs.size) == (2, 12, len(NAMES))
    item, topic = 7, WORLD.topic[7]
    mine = WORLD.bought[1] @ WORLD.vectors
    names = ("bought", "clicked", "shown", "ordered", "searched")
    seen = {name: obs[0, parts[name]][topic] for name in names}
    by_hand = {
        "constant": 1,
        "popularity": np.log(WORLD.popularity[item] * 12),
        "bought before": np.log(1 + WORLD.bought[1, item]),
        "likes the topic": np.log(1 + 3 * seen["bought"]),
        "taste": mine @ WORLD.vectors[item] / np.linalg.norm(mine),
        "dear": np.log(WORLD.price[item] / topic_prices(WORLD)[topic] / WORLD.price_level[1]),
        "clicked": seen["clicked"],
        "clicked squared": seen["clicked"] ** 2,
        "shown": seen["shown"],
        "ordered": seen["ordered"],
        "searched topic": seen["searched"],
        "searched kind": 1,
    }
    np.testing.assert_allclose(x[0, item], [by_hand[name] for name in NAMES], rtol=1e-5)
    assert x[0, 0, NAMES.index("searched kind")] == 0
    assert (x[1, :, NAMES.index("searched kind")] == 0).all()
    assert (x[1, :, NAMES.index("taste")] == 0).all()  # nothing bought
    items = np.array([[7, 0], [3, 4]])
    np.testing.assert_array_equal(pairs(obs, info, items), x[np.arange(2)[:, None], items])
    with pytest.raises(ValueError, match="must have the part 'shown'"):
        PairFeatures(WORLD, {name: parts[name] for name in ("bought", "clicked", "searched")})


def test_the_context_is_a_constant_and_the_parts_that_were_asked_for():
    parts = {"bought": slice(0, 2), "shown": slice(2, 4), "away": slice(4, 5)}
    context = ContextFeatures(parts, ("bought", "away"))
    obs = np.arange(10.0).reshape(2, 5)
    assert context(obs, {}).tolist() == [[1, 0, 1, 4], [1, 5, 6, 9]]
    assert context.size == 4
    assert ContextFeatures(parts).size == 3
    with pytest.raises(ValueError, match="must have the part 'page'"):
        ContextFeatures(parts, ("page",))


# Steps


def shops(copies=40, k=3, **settings):
    return ShopVectorEnv(copies, WORLD, ShopConfig(slate_size=k, **settings))


def test_what_happened_where_an_episode_ends_is_the_last_page_not_the_next_shopper():
    """Against single environments with the same seeds, which do not reset themselves."""
    copies, config = 30, ShopConfig(slate_size=3, visits=2, horizon=9)
    many = ShopVectorEnv(copies, WORLD, config)
    ones = [ShopEnv(WORLD, config) for _ in range(copies)]
    _, before = many.reset(seed=5)
    for n, env in enumerate(ones):
        env.reset(seed=5 + n)
    policy, rng = RandomPolicy(3), generator(0, "steps")
    ends = {"terminated": 0, "truncated": 0}
    for _ in range(25):
        slate = policy.act(np.zeros((copies, 1)), before, rng)
        result = StepResult(*many.step(slate.items))
        after = after_step(before, result)
        assert after["before"] is before
        assert not {"final_obs", "final_info"} & set(after)
        for n, env in enumerate(ones):
            obs, reward, terminated, truncated, info = env.step(slate.items[n])
            np.testing.assert_array_equal(after["next_obs"][n], obs)
            for name, value in {**info, "reward": reward, "terminated": terminated,
                                "truncated": truncated}.items():  # fmt: skip
                np.testing.assert_array_equal(after[name][n], value, err_msg=name)
            if terminated or truncated:
                ends["terminated" if terminated else "truncated"] += 1
                env.reset()
        before = result.info
    assert min(ends.values()) > 0


def test_gymnasium_s_own_vector_of_shops_says_the_same():
    config = ShopConfig(slate_size=2, visits=1, horizon=4)
    ours = ShopVectorEnv(6, WORLD, config)
    theirs = gym.vector.SyncVectorEnv(
        [lambda: ShopEnv(WORLD, config)] * 6, autoreset_mode="SameStep"
    )
    _, one = ours.reset(seed=3)
    _, two = theirs.reset(seed=3)
    policy, rng, ended = RandomPolicy(2), generator(0, "steps"), 0
    for _ in range(12):
        slate = policy.act(np.zeros((6, 1)), one, rng)
        mine, other = (StepResult(*envs.step(slate.items)) for envs in (ours, theirs))
        left, right = after_step(one, mine), after_step(two, other)
        for name in ("next_obs", "reward", "user", "page", "click", "purchase", "action_mask"):
            np.testing.assert_array_equal(left[name], right[name], err_msg=name)
        ended += int((mine.terminated | mine.truncated).sum())
        one, two = mine.info, other.info
    assert ended > 6


def test_playing_counts_what_the_shop_reports():
    weights = {"click": 0.5, "cart": 0.25, "purchase": 2.0}
    found = play(shops(**weights), RandomPolicy(3), steps=80, seed=1)
    assert found.reward.shape == found.truncated.shape == (80, 40)
    total = 0.5 * found.click + 0.25 * found.cart + 2.0 * found.purchase
    np.testing.assert_allclose(found.reward, total)
    assert (found.purchase <= found.cart).all()
    assert (found.cart <= found.click).all()
    assert found.click.max() == 1
    assert found.cart.sum() > 0
    assert found.terminated.any()


def test_a_run_depends_on_its_seed_alone():
    one, two, other = (
        play(shops(), RandomPolicy(3), steps=30, seed=seed).reward for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    envs = shops()
    play(envs, RandomPolicy(3), steps=7, seed=9)  # what was done before changes nothing
    np.testing.assert_array_equal(play(envs, RandomPolicy(3), steps=30, seed=1).reward, one)
    with pytest.raises(ValueError, match="steps must be 1 or more; got 0"):
        play(envs, RandomPolicy(3), steps=0, seed=1)


def test_what_is_gathered_are_copies_of_each_step_of_a_policy_that_does_not_learn():
    class Still(RandomPolicy):
        def learn(self, obs, slate, info):
            raise AssertionError("it learns")

    place, pages = np.zeros(40, np.int64), []

    def row(obs, slate, info):
        place[:] += 1  # the same array at every step
        return place, slate.items, info["click"]

    steps, items, click = gathered(shops(), Still(3), row, steps=4, seed=2)
    np.testing.assert_array_equal(steps, np.repeat([1, 2, 3, 4], 40))
    play(shops(), RandomPolicy(3), steps=4, seed=2, watch=lambda *page: pages.append(page))
    np.testing.assert_array_equal(items, np.concatenate([slate.items for _, slate, _ in pages]))
    np.testing.assert_array_equal(click, np.concatenate([info["click"] for *_, info in pages]))
    with pytest.raises(ValueError, match="steps must be 1 or more; got 0"):
        gathered(shops(), RandomPolicy(3), row, steps=0, seed=1)


@pytest.mark.parametrize("k", [1, 3])
def test_policies_learn_only_when_they_may(k):
    class Pupil(RandomPolicy):
        lessons = 0

        def learn(self, obs, slate, info):
            assert slate.items.shape == info["click"].shape == (40, k)
            self.lessons += 1

    pupil, watched = Pupil(k), []
    play(shops(k=k), pupil, steps=5, seed=0, watch=lambda *page: watched.append(page))
    assert (pupil.lessons, len(watched)) == (5, 5)
    play(shops(k=k), pupil, steps=5, seed=0, learn=False)
    assert pupil.lessons == 5


def test_with_the_calibrated_shopper_popularity_and_habits_beat_chance():
    """By about what the calibration allows: a fifth, in this world of random households."""
    envs = ShopVectorEnv(4_000, WORLD, ShopConfig(slate_size=3))
    random, popular, own = (
        play(envs, policy, steps=60, seed=3).reward.mean()
        for policy in (
            RandomPolicy(3),
            popularity_policy(WORLD, Choice(3)),
            own_frequency_policy(WORLD, Choice(3)),
        )
    )
    assert 1.1 * random < own < 1.4 * random
    assert 1.1 * random < popular < 1.5 * random


@pytest.mark.parametrize("kind", ["LinUCB shared", "LinUCB disjoint", "Thompson shared"])
def test_a_bandit_learns_to_beat_the_random_policy_in_the_shop(kind):
    config = ShopConfig(slate_size=3, click=1.0, purchase=0.0)
    envs = ShopVectorEnv(50, WORLD, config)
    parts = layout(config, WORLD)
    arms = (
        SharedArms(PairFeatures(WORLD, parts))
        if "shared" in kind
        else DisjointArms(ContextFeatures(parts, ("clicked",)), WORLD.num_items)
    )
    make = LinearThompson if "Thompson" in kind else LinUCB
    policy: Policy = make(arms, LinearBanditConfig(3, width=0.1))
    found = play(envs, policy, steps=150, seed=0).click[75:].mean()
    assert found > 1.2 * play(envs, RandomPolicy(3), steps=150, seed=0).click[75:].mean()


def test_a_slate_of_another_shape_than_the_page_is_not_learned_from():
    envs = shops()
    obs, before = envs.reset(seed=0)
    slate = RandomPolicy(3).act(obs, before, generator(0, "act"))
    after = after_step(before, StepResult(*envs.step(slate.items)))
    arms = SharedArms(PairFeatures(WORLD, layout(ShopConfig(slate_size=3), WORLD)))
    with pytest.raises(ValueError, match=r"click must have the shape \(40, 2\); got \(40, 3\)"):
        LinUCB(arms, LinearBanditConfig(2)).learn(
            obs, Slate(slate.items[:, :2], slate.propensity[:, :2]), after
        )
