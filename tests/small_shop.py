"""A shop with a few items and households, for tests."""

import numpy as np

from companion.core.seeding import generator
from companion.envs.shop_tables import ShopWorld, check


def small_world(items=12, topics=3, households=5, seed=0):
    """The last household has bought nothing; the topics have about the same number of items."""
    rng = generator(seed, "small world")
    topic = np.arange(items) % topics
    bought = rng.poisson(0.7, (households, items)).astype(np.float32)
    bought[-1] = 0
    vectors = rng.standard_normal((items, 4)).astype(np.float32)
    popularity = rng.permutation(np.arange(1.0, items + 1))
    weight = np.full(households, 1 / households)
    return check(
        ShopWorld(
            source="test",
            item_ids=np.array([f"i{item}" for item in range(items)]),
            names=np.array([f"item {item}" for item in range(items)]),
            topics=tuple(f"topic {c}" for c in range(topics)),
            topic=topic.astype(np.int64),
            kinds=tuple(f"kind {item // 2}" for item in range(0, items + 1, 2)),
            kind=np.arange(items) // 2,
            price=rng.uniform(1, 5, items),
            popularity=popularity / popularity.sum(),
            vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
            user_ids=np.array([f"u{h}" for h in range(households)]),
            taste=rng.dirichlet(np.ones(topics), households),
            bought=bought,
            weight=weight,
            gap=rng.uniform(1, 5, households),
            price_level=rng.uniform(0.7, 1.4, households),
        )
    )
