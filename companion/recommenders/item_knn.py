"""Item-kNN: the k most similar items of each item that a user has.

    sim(i, j) = x_i . x_j / (|x_i| |x_j| + h),   score(u, j) = sum over i in u of  x_ui sim(i, j)

x_i is the column of item i over the users. The shrinkage h keeps two rare items, which one user had
both by chance, from looking alike. Only the k largest sim(i, .) of each item i count.

Source: Deshpande and Karypis (2004), "Item-based top-N recommendation algorithms", ACM TOIS 22(1);
the shrinkage as in Ferrari Dacrema, Cremonesi and Jannach (2019), doi:10.1145/3298689.3347058.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from companion.recommenders.interactions import Interactions
from companion.recommenders.scoring import ItemModel
from companion.recommenders.sparse_rows import largest_per_row, only, row_of_each


@dataclass(frozen=True)
class ItemKnnConfig:
    """Settings of item-kNN.

    Attributes:
        neighbours: k, of each item.
        shrinkage: h, 0 or more, in the unit of the norms: with counts, users.
        binary: whether x is 1 or 0, or the sum of the weights.
        itself: whether an item is among its own neighbours. Shoppers buy again what they have;
            films are watched once.
    """

    neighbours: int = 100
    shrinkage: float = 10.0
    binary: bool = True
    itself: bool = False

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ValueError(f"neighbours must be 1 or more; got {self.neighbours}")
        if not 0 <= self.shrinkage < np.inf:
            raise ValueError(f"shrinkage must be 0 or more and finite; got {self.shrinkage}")


def fit_item_knn(log: Interactions, config: ItemKnnConfig | None = None) -> ItemModel:
    """Finds the neighbours of each item.

    Args:
        log: times do not matter.
        config: None for the defaults.
    """
    config = config or ItemKnnConfig()
    seen = log.seen()
    owned = seen if config.binary else log.matrix()
    return ItemModel(owned, neighbours_of(owned, config), seen)


def neighbours_of(owned: sparse.csr_array, config: ItemKnnConfig) -> sparse.csr_array:
    """The k largest similarities of each item. [I, I] sparse; of equals, the lower item is kept.

    Args:
        owned: [U, I] sparse, x.
        config: `neighbours`, `shrinkage` and `itself` are used.
    """
    products = sparse.csr_array(owned.T @ owned)  # [I, I]
    norm = np.sqrt(products.diagonal())
    row, column = row_of_each(products), products.indices
    products.data /= norm[row] * norm[column] + config.shrinkage
    every = products if config.itself else only(products, row != column)
    return largest_per_row(every, config.neighbours)
