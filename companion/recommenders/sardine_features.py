"""Features of a SARDINE user and an item, from what a recommender may know there.

What a user of SARDINE likes is told by nothing but clicks. Items are known by their shares of the
topics, so what is shown and clicked of one topic says something of every item that has a part of
it.
"""

from collections.abc import Mapping

import numpy as np

from companion.envs.policies import Info
from companion.envs.sardine import SardineWorld
from companion.recommenders.shop_features import check_parts

NAMES = (
    "constant",
    "rate",  # smoothed clicks / places of the last pages in the item's topics, by its shares
    "rate of the topic",  # the same in its largest topic
    "clicked",  # clicks of the last pages in its largest topic, times C
    "clicked squared",  # so that more clicks may first say "likes it", then "has had enough"
    "shown",  # places of the last pages in its largest topic, times C
    "near boredom",  # clicks of the last pages in its largest topic / those that bore
    "nearest boredom",  # the same in whichever topic has most: it may take all interest
)
_READ = ("clicked", "shown", "recent")
# What is added to clicks and to places, as a share of a page: without any, the rate is 0.2.
CLICKS, PLACES = 0.01, 0.05


class SardineFeatures:
    """What is known of N users and each item, or the items of their pages.

    Args:
        world: SARDINE's items.
        parts: of an observation, from `companion.envs.sardine.layout`.

    Raises:
        ValueError: a part is missing.
    """

    names = NAMES
    size = len(NAMES)

    def __init__(self, world: SardineWorld, parts: Mapping[str, slice]):
        self._world, self._parts = world, check_parts(parts, _READ)
        total = world.vectors.sum(axis=1, keepdims=True)
        self._shares = world.vectors / total  # [I, C] rows sum to 1

    def __call__(self, obs: np.ndarray, info: Info, items: np.ndarray | None = None) -> np.ndarray:
        """The features. [N, I, d] float32, or [N, K, d] of items [N, K].

        Args:
            obs: [N, D].
            info: of the same moment; it tells nothing that is used here.
            items: None for all.
        """
        if items is None:
            items = np.broadcast_to(np.arange(self._world.num_items), (len(obs), len(self._shares)))
        rows, topic = np.arange(len(obs))[:, None], self._world.topic[items]
        clicked, shown, recent = (obs[:, self._parts[name]] for name in _READ)  # [N, C] each
        topics = self._world.num_topics
        rate = (clicked + CLICKS) / (shown + PLACES)  # [N, C]
        x = np.empty((len(obs), topic.shape[1], self.size), np.float32)
        x[:, :, 0] = 1.0
        x[:, :, 1] = np.einsum("nkc,nc->nk", self._shares[items], rate)
        x[:, :, 2] = rate[rows, topic]
        x[:, :, 3] = topics * clicked[rows, topic]
        x[:, :, 4] = x[:, :, 3] ** 2
        x[:, :, 5] = topics * shown[rows, topic]
        x[:, :, 6] = recent[rows, topic]
        x[:, :, 7] = recent.max(axis=1, keepdims=True)
        return x
