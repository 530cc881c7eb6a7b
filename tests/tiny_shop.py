"""A small shop whose numbers can be worked out by hand."""

import numpy as np

from companion.envs.shop_world import ShopWorld, check
from companion.envs.shopper import ShopperConfig

# Everything off but the choice itself; patience never ends.
PLAIN = ShopperConfig(
    no_click=0.0,
    interest=0.0,
    mood=0.0,
    drift=0.0,
    boredom=0.0,
    popularity=0.0,
    repeat=0.0,
    price=0.0,
    place=1.0,
    fatigue=0.0,
    search=0.0,
    intent=0.0,
    need=0.0,
    cart=-50.0,
    purchase=-50.0,
    patience=float("inf"),
    patience_spread=0.0,
    patience_click=0.0,
    returning=-float("inf"),
    returning_clicks=0.0,
    gap_spread=0.0,
    gap_clicks=0.0,
)


def tiny_world(items=12, topics=3, users=4, seed=0):
    """Items in turn of topic 0, 1, 2, ..., each a kind of its own; all else from a seed."""
    rng = np.random.default_rng(seed)
    bought = rng.poisson(1.5, (users, items)).astype(np.float32)
    bought[:, 0] += 1
    topic = np.arange(items) % topics
    counts = np.stack([np.bincount(topic, row, minlength=topics) for row in bought]) + 0.5
    vectors = rng.standard_normal((items, 4)).astype(np.float32)
    return ShopWorld(
        source="by hand",
        item_ids=np.array([f"i{n}" for n in range(items)]),
        names=np.array([f"thing {n}" for n in range(items)]),
        topics=tuple(f"topic {n}" for n in range(topics)),
        topic=topic.astype(np.int64),
        kinds=tuple(f"kind {n}" for n in range(items)),
        kind=np.arange(items, dtype=np.int64),
        price=rng.uniform(1, 5, items),
        popularity=bought.sum(axis=0) / bought.sum().astype(np.float64),
        vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        user_ids=np.array([f"u{n}" for n in range(users)]),
        taste=counts / counts.sum(axis=1, keepdims=True),
        bought=bought,
        weight=np.full(users, 1 / users),
        gap=rng.uniform(1, 9, users),
        price_level=rng.uniform(0.7, 1.4, users),
    )


def small_world(items=12, topics=3, households=5, seed=0):
    """A tiny world with two items of each kind, whose last household has bought nothing."""
    world = tiny_world(items, topics, households, seed)
    rng = np.random.default_rng(seed)
    popularity = rng.permutation(np.arange(1.0, items + 1))
    bought = rng.poisson(0.7, (households, items)).astype(np.float32)
    bought[-1] = 0
    return check(
        world._replace(
            kinds=tuple(f"kind {number}" for number in range((items + 1) // 2)),
            kind=np.arange(items) // 2,
            popularity=popularity / popularity.sum(),
            taste=rng.dirichlet(np.ones(topics), households),
            bought=bought,
        )
    )
