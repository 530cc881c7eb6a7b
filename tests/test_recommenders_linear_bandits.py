import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import BayesianRidge

from companion.core.seeding import generator
from companion.envs.slates import Slate
from companion.recommenders.linear_arms import DisjointArms, SharedArms
from companion.recommenders.linear_bandits import (
    LinearBanditConfig,
    LinearThompson,
    LinUCB,
    page_of,
)
from companion.recommenders.linear_model import Ridge


class ByTable:
    """Pairs whose features stand in the observation, [N, I * d]."""

    def __init__(self, items, size):
        self.items, self.size = items, size

    def __call__(self, obs, info, items=None):
        x = obs.reshape(len(obs), self.items, self.size)
        return x if items is None else np.take_along_axis(x, items[:, :, None], axis=1)


class Whole:
    """The observation itself as the context."""

    def __init__(self, size):
        self.size = size

    def __call__(self, obs, info):
        return obs


def everything(n, items):
    return {"action_mask": np.ones((n, items), bool)}


def told(before, reward):
    """The info of a step in which each shown item brought a reward."""
    nothing = np.zeros(np.shape(reward))
    return {"before": before, "click": reward, "cart": nothing, "purchase": nothing}


# The regression


def test_the_posterior_is_that_of_bayesian_ridge_regression():
    rng = generator(0, "posterior")
    x = rng.standard_normal((300, 4)) * [1, 2, 0.5, 1]
    y = x @ [1.0, -0.5, 2.0, 0.0] + 0.3 * rng.standard_normal(300)
    known = BayesianRidge(fit_intercept=False).fit(x, y)
    found = Ridge(1, 4, known.lambda_ / known.alpha_)
    found.update(x, y)
    np.testing.assert_allclose(found.theta[0], known.coef_, rtol=1e-9)
    covariance = found.root[0].T @ found.root[0] / known.alpha_
    np.testing.assert_allclose(covariance, known.sigma_, rtol=1e-9, atol=1e-15)


def test_a_hundred_thousand_examples_lose_no_precision():
    """In 10,000 batches, with features of very different size, against one least-squares solve."""
    rng = generator(1, "many")
    x = rng.standard_normal((100_000, 6)) * [1, 1, 10, 0.1, 1, 1e-3] + [1, 0, 0, 0, 0, 0]
    y = x @ rng.standard_normal(6) + rng.standard_normal(100_000)
    found = Ridge(1, 6, 0.5)
    for rows in np.split(np.arange(100_000), 10_000):
        found.update(x[rows], y[rows])
        if rows[0] % 10_000 == 0:
            found.theta  # noqa: B018 - asking in between must change nothing
    wide = np.concatenate((np.sqrt(0.5) * np.eye(6), x))
    right = np.linalg.lstsq(wide, np.concatenate((np.zeros(6), y)), rcond=None)[0]
    np.testing.assert_allclose(found.theta[0], right, rtol=1e-8)
    inverse = np.linalg.inv(wide.T @ wide)
    np.testing.assert_allclose(found.root[0].T @ found.root[0], inverse, rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(
        found.root[0] @ found.precision[0] @ found.root[0].T, np.eye(6), atol=1e-8
    )


def test_each_arm_learns_from_its_own_examples():
    rng = generator(2, "arms")
    x, y, arm = rng.standard_normal((50, 3)), rng.standard_normal(50), rng.integers(0, 4, 50)
    arm[arm == 2] = 3  # arm 2 has none
    found = Ridge(4, 3, 2.0)
    found.update(x[:20], y[:20], arm[:20])
    found.theta  # noqa: B018 - the factors of before must not stay
    found.update(x[20:], y[20:], arm[20:])
    for a in range(4):
        mine = x[arm == a]
        precision = 2 * np.eye(3) + mine.T @ mine
        np.testing.assert_allclose(found.theta[a], np.linalg.solve(precision, mine.T @ y[arm == a]))
        np.testing.assert_allclose(found.root[a].T @ found.root[a], np.linalg.inv(precision))
    assert (found.theta[2] == 0).all()


def test_bad_examples_are_named():
    model = Ridge(2, 3)
    with pytest.raises(ValueError, match="row 1: x and reward must be finite"):
        model.update(np.array([[1.0, 2, 3], [1, np.nan, 3]]), np.zeros(2))
    with pytest.raises(ValueError, match="row 0: x and reward must be finite"):
        model.update(np.ones((2, 3)), np.array([np.inf, 0]))
    with pytest.raises(ValueError, match=r"x must be \[M, 3\]"):
        model.update(np.ones((2, 4)), np.zeros(2))
    with pytest.raises(ValueError, match="arm must be from 0 to 1; got 0 to 2"):
        model.update(np.ones((2, 3)), np.zeros(2), np.array([0, 2]))
    assert (model.moment == 0).all()
    for arguments, says in (
        ((0, 3), "arms must be 1 or more; got 0"),
        ((1, 0), "size must be 1 or more; got 0"),
        ((1, 3, 0.0), "ridge must be above 0 and finite; got 0"),
    ):
        with pytest.raises(ValueError, match=says):
            Ridge(*arguments)


# LinUCB


def textbook_disjoint(contexts, means, alpha):
    """Algorithm 1 of Li et al. (2010), line by line: an inverse for each arm and round."""
    rounds, size = contexts.shape
    arms = means.shape[1]
    a, b = [np.eye(size) for _ in range(arms)], [np.zeros(size) for _ in range(arms)]
    chosen = []
    for t in range(rounds):
        x, p = contexts[t], []
        for arm in range(arms):
            inverse = np.linalg.inv(a[arm])
            p.append(inverse @ b[arm] @ x + alpha * np.sqrt(x @ inverse @ x))
        best = int(np.argmax(p))
        a[best] = a[best] + np.outer(x, x)
        b[best] = b[best] + means[t, best] * x
        chosen.append(best)
    return chosen


def textbook_shared(features, rewards, alpha):
    """The same with one theta: features [T, I, d]."""
    size = features.shape[2]
    a, b, chosen = np.eye(size), np.zeros(size), []
    for x, reward in zip(features, rewards, strict=True):
        inverse = np.linalg.inv(a)
        theta = inverse @ b
        p = [row @ theta + alpha * np.sqrt(row @ inverse @ row) for row in x]
        best = int(np.argmax(p))
        a, b = a + np.outer(x[best], x[best]), b + reward[best] * x[best]
        chosen.append(best)
    return chosen


def act_alone(policy, obs, rewards, items):
    """One shopper and one item a page: the items shown in each round."""
    chosen, rng = [], generator(0, "alone")
    for seen, reward in zip(obs, rewards, strict=True):
        before = everything(1, items)
        slate = policy.act(seen[None], before, rng)
        chosen.append(int(slate.items[0, 0]))
        policy.learn(seen[None], slate, told(before, np.array([[reward[chosen[-1]]]])))
    return chosen


@pytest.mark.parametrize("alpha", [0.0, 0.7, 2.0])
def test_disjoint_linucb_is_the_textbook_s(alpha):
    rng = generator(4, "disjoint")
    contexts, rewards = rng.standard_normal((250, 3)), rng.standard_normal((250, 6))
    policy = LinUCB(DisjointArms(Whole(3), 6), LinearBanditConfig(width=alpha))
    found = act_alone(policy, contexts, rewards, 6)
    assert found == textbook_disjoint(contexts, rewards, alpha)
    assert len(set(found)) == 6


@pytest.mark.parametrize("alpha", [0.0, 0.7, 2.0])
def test_shared_linucb_is_the_textbook_s(alpha):
    rng = generator(5, "shared")
    features, rewards = rng.standard_normal((250, 6, 4)), rng.standard_normal((250, 6))
    policy = LinUCB(SharedArms(ByTable(6, 4)), LinearBanditConfig(width=alpha))
    found = act_alone(policy, features.reshape(250, -1), rewards, 6)
    assert found == textbook_shared(features, rewards, alpha)


def test_the_bound_is_mean_plus_alpha_deviations():
    rng = generator(6, "bound")
    features, info = rng.standard_normal((7, 5, 3)), everything(7, 5)
    obs = features.reshape(7, -1)
    arms = SharedArms(ByTable(5, 3), 2.0)
    x, y = rng.standard_normal((40, 3)), rng.standard_normal(40)
    arms.ridge.update(x, y)
    inverse = np.linalg.inv(2 * np.eye(3) + x.T @ x)
    width = np.sqrt(np.einsum("nid,de,nie->ni", features, inverse, features))
    bound = features @ inverse @ x.T @ y + 1.5 * width
    policy = LinUCB(arms, LinearBanditConfig(3, width=1.5))
    np.testing.assert_allclose(policy.scores(obs, info), bound)
    info["action_mask"][:, 2] = False
    slate = policy.act(obs, info, generator(0, "act"))
    bound[:, 2] = -np.inf
    np.testing.assert_array_equal(slate.items, np.argsort(-bound, axis=1)[:, :3])
    assert (slate.propensity == 1).all()


# Regret

ITEMS, SIZE, SHOPPERS, PAGES = 20, 5, 5, 300


def regret(policy, seed):
    """Regret of each page, summed over the shoppers, of a problem that depends on the seed."""
    rng, choices = generator(seed, "problem"), generator(seed, "choices")
    theta = rng.standard_normal(SIZE)
    theta /= np.linalg.norm(theta)
    items = rng.standard_normal((ITEMS, SIZE)) / np.sqrt(SIZE)
    lost = np.zeros(PAGES)
    for page in range(PAGES):
        x = items + 0.3 * rng.standard_normal((SHOPPERS, ITEMS, SIZE))
        value, noise = x @ theta, 0.5 * rng.standard_normal((SHOPPERS, ITEMS))
        before, obs = everything(SHOPPERS, ITEMS), x.reshape(SHOPPERS, -1)
        slate = policy.act(obs, before, choices)
        got = np.take_along_axis(value + noise, slate.items, axis=1)
        policy.learn(obs, slate, told(before, got))
        mine = np.take_along_axis(value, slate.items, axis=1)[:, 0]
        lost[page] = (value.max(axis=1) - mine).sum()
    return lost


def test_regret_grows_ever_slower_and_stays_below_that_of_epsilon_greedy():
    kinds = {
        "greedy": lambda: LinUCB(SharedArms(ByTable(ITEMS, SIZE)),
                                 LinearBanditConfig(width=0.0, epsilon=0.1)),
        "ucb": lambda: LinUCB(SharedArms(ByTable(ITEMS, SIZE)), LinearBanditConfig(width=0.5)),
        "thompson": lambda: LinearThompson(SharedArms(ByTable(ITEMS, SIZE)),
                                           LinearBanditConfig(width=0.5)),
    }  # fmt: skip
    found = {
        name: np.array([regret(make(), seed) for seed in range(10)]) for name, make in kinds.items()
    }
    for name in ("ucb", "thompson"):
        saved = (found["greedy"] - found[name]).sum(axis=1)
        assert stats.ttest_1samp(saved, 0.0, alternative="greater").pvalue < 1e-4
        first, rest = found[name][:, :75].sum(), found[name][:, 75:].sum()
        assert rest < first  # three times as many pages
        assert found[name][:, 225:].sum() < 0.5 * found[name][:, 75:150].sum()
    first, rest = found["greedy"][:, 75:150].sum(), found["greedy"][:, 225:].sum()
    assert rest > 0.7 * first  # a fixed epsilon loses the same on every page


# Thompson sampling


def test_draws_of_shared_arms_have_the_posterior_s_mean_and_covariance():
    rng = generator(7, "draws")
    arms = SharedArms(ByTable(3, 3))
    x, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    arms.ridge.update(x, y)
    seen = np.tile(np.eye(3), (60_000, 1, 1))  # item i shows component i of theta~
    drawn = arms.sample(seen, 0.5, rng)
    inverse = np.linalg.inv(np.eye(3) + x.T @ x)
    np.testing.assert_allclose(drawn.mean(axis=0), inverse @ x.T @ y, atol=0.005)
    np.testing.assert_allclose(np.cov(drawn.T), 0.25 * inverse, atol=0.02 * 0.25 * inverse.max())


def test_draws_of_disjoint_arms_are_independent():
    rng = generator(8, "draws")
    arms = DisjointArms(Whole(2), 2)
    x, y = rng.standard_normal((20, 2)), rng.standard_normal(20)
    arms.ridge.update(x, y, np.zeros(20, int))
    seen = np.tile([1.0, 2.0], (60_000, 1))
    drawn = arms.sample(seen, 0.5, rng)
    inverse = np.linalg.inv(np.eye(2) + x.T @ x)
    c = seen[0]
    np.testing.assert_allclose(drawn.mean(axis=0), [c @ inverse @ x.T @ y, 0], atol=0.02)
    variance = 0.25 * np.array([c @ inverse @ c, c @ c])
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.03)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.02


def taught(epsilon=0.2, k=1, width=1.0):
    """A Thompson policy of 4 items that has learned a little, and one observation."""
    rng = generator(9, "taught")
    arms = SharedArms(ByTable(4, 3))
    arms.ridge.update(rng.standard_normal((15, 3)), rng.standard_normal(15))
    config = LinearBanditConfig(k, width=width, epsilon=epsilon)
    return LinearThompson(arms, config), rng.standard_normal((1, 12))


def test_weights_given_the_draw_are_unbiased():
    """E[1(item shown) / propensity] is 1 for every item: what a log must offer an estimator."""
    policy, obs = taught(epsilon=0.3)
    n = 60_000
    slate = policy.act(np.tile(obs, (n, 1)), everything(n, 4), generator(0, "act"))
    assert set(np.round(np.unique(slate.propensity), 9)) == {0.075, 0.775}
    for item in range(4):
        weight = (slate.items[:, 0] == item) / slate.propensity[:, 0]
        assert weight.mean() == pytest.approx(1.0, abs=5 * weight.std() / np.sqrt(n))


@pytest.mark.parametrize("k", [1, 2])
def test_estimated_propensities_are_how_often_slates_are_shown(k):
    policy, obs = taught(k=k)
    n = 60_000
    slate = policy.act(np.tile(obs, (n, 1)), everything(n, 4), generator(1, "act"))
    slates, counts = np.unique(slate.items, axis=0, return_counts=True)
    found = policy.propensity_estimate(
        np.tile(obs, (len(slates), 1)), everything(len(slates), 4), slates,
        draws=20_000 if k == 1 else 5_000, rng=generator(2, "estimate"),
    )  # fmt: skip
    np.testing.assert_allclose(found.prod(axis=1), counts / n, atol=0.015)
    assert found[:, 0].max() - found[:, 0].min() > 0.1  # not all the same
    if k == 2:
        for first in range(4):
            assert found[slates[:, 0] == first, 1].sum() == pytest.approx(1.0, abs=0.03)


def test_without_any_draw_that_leads_there_the_estimate_is_zero():
    policy, obs = taught(epsilon=0.0, k=2, width=1e-9)
    best = np.argsort(-policy.arms.mean(policy.arms.look(obs, {})))[0]
    items = np.array([best[:2], best[2:]])
    found = policy.propensity_estimate(
        np.tile(obs, (2, 1)), everything(2, 4), items, draws=5, rng=generator(0, "none")
    )
    assert found.tolist() == [[1, 1], [0, 0]]
    with pytest.raises(ValueError, match="draws must be 1 or more; got 0"):
        policy.propensity_estimate(obs, everything(1, 4), items[:1], draws=0,
                                   rng=generator(0, "none"))  # fmt: skip


def test_each_shopper_has_a_draw_of_her_own():
    policy, obs = taught(epsilon=0.0)
    slate = policy.act(np.tile(obs, (500, 1)), everything(500, 4), generator(0, "own"))
    assert len(np.unique(slate.items)) > 1
    assert (slate.propensity == 1).all()


# What a page teaches


def page(config, click, cart=None, purchase=None):
    click = np.array(click)
    nothing = np.zeros(click.shape)
    info = {"click": click, "cart": nothing if cart is None else np.array(cart)}
    info["purchase"] = nothing if purchase is None else np.array(purchase)
    items = np.tile(np.arange(click.shape[1]), (len(click), 1))
    return page_of(Slate(items, np.ones(items.shape)), info, config)


def test_rewards_are_weighed():
    found = page(
        LinearBanditConfig(2, weights=(0.2, 0.5, 3.0)),
        [[True, False], [False, True]], [[True, False], [False, False]],
        [[True, False], [False, False]],
    )  # fmt: skip
    np.testing.assert_allclose(found.reward, [[3.7, 0], [0, 0.2]])
    assert found.counts.all()


def test_below_a_click_a_cascade_teaches_nothing():
    click = [[False, True, False], [True, False, False], [False, False, False]]
    found = page(LinearBanditConfig(3, feedback="cascade"), click)
    assert found.counts.tolist() == [[True, True, False], [True, False, False], [True] * 3]
    arms = SharedArms(ByTable(3, 3))
    obs = np.tile(np.eye(3).reshape(1, -1), (3, 1))
    arms.learn(obs, everything(3, 3), found)
    np.testing.assert_allclose(arms.ridge.precision[0], np.diag([4.0, 3.0, 2.0]))
    np.testing.assert_allclose(arms.ridge.moment[0], [1.0, 1.0, 0.0])


@pytest.mark.parametrize("kind", ["shared", "disjoint"])
def test_known_examination_takes_the_place_out_of_the_estimate(kind):
    """Clicks kappa_k theta^T x without noise: with kappa theta comes back, without it does not."""
    rng, kappa = generator(10, "places"), (1.0, 0.6, 0.3)
    theta = np.array([0.5, -0.2, 0.8])
    found = {}
    for name, seen in (("known", kappa), ("ignored", None)):
        config = LinearBanditConfig(3, examination=seen)
        if kind == "shared":
            policy = LinUCB(SharedArms(ByTable(4, 3), 1e-9), config)
        else:
            policy = LinUCB(DisjointArms(Whole(3), 4, 1e-9), config)
        for _ in range(60):
            obs = rng.standard_normal((5, 12 if kind == "shared" else 3))
            items = np.array([rng.permutation(4)[:3] for _ in range(5)])
            x = ByTable(4, 3)(obs, {}, items) if kind == "shared" else obs[:, None]
            slate = Slate(items, np.ones(items.shape))
            policy.learn(obs, slate, told(everything(5, 4), kappa * (x @ theta)))
        found[name] = policy.arms.ridge.theta
    for row in found["known"]:
        np.testing.assert_allclose(row, theta, atol=1e-6)
    assert np.abs(found["ignored"] - theta).max() > 0.1


def test_what_a_policy_cannot_learn_from_is_named():
    policy = LinUCB(SharedArms(ByTable(3, 2)), LinearBanditConfig(2))
    obs, slate = np.zeros((1, 6)), Slate(np.array([[0, 1]]), np.ones((1, 2)))
    info = told(everything(1, 3), np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"learn needs info\['before'\]"):
        policy.learn(obs, slate, {name: info[name] for name in info if name != "before"})
    with pytest.raises(ValueError, match=r"click must have the shape \(1, 2\); got \(1, 3\)"):
        policy.learn(obs, slate, info | {"click": np.zeros((1, 3))})
    with pytest.raises(ValueError, match="info must hold 'action_mask'"):
        policy.act(obs, {}, generator(0, "none"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"slate_size": 0}, "slate_size must be 1 or more; got 0"),
        ({"width": -0.1}, r"width must be 0 or more and finite; got -0\.1"),
        ({"width": np.nan}, "width must be 0 or more"),
        ({"epsilon": 1.5}, r"epsilon must be from 0 to 1; got 1\.5"),
        ({"feedback": "dcm"}, 'feedback must be "page" or "cascade"; got \'dcm\''),
        ({"weights": (1.0, 2.0)}, "weights must be three finite numbers"),
        ({"examination": (1.0, 0.5)}, "examination must have 1 places; got 2"),
        ({"examination": (0.0,)}, "examination must be above 0 and at most 1"),
    ],
)
def test_settings_that_make_no_sense(settings, says):
    with pytest.raises(ValueError, match=says):
        LinearBanditConfig(**settings)
