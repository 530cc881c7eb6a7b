"""Vectors of items from their words and from what is bought together. No gradient is needed."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize


def text_vectors(texts: Sequence[str], size: int, *, seed: int = 0) -> np.ndarray:
    """Latent semantic vectors: TF-IDF weights of the words, reduced by a singular value
    decomposition. Deerwester et al. (1990), JASIS 41(6).

    Args:
        texts: [V] words of each item; an empty text gets the zero vector.
        size: D.
        seed: of the randomised decomposition.

    Returns:
        [V, D] float32 of length 1 (or 0). Columns beyond the rank are zero.

    Raises:
        ValueError: no text has a word.
    """
    words = TfidfVectorizer(token_pattern=r"(?u)\b[\w&]+\b", sublinear_tf=True)
    try:
        table = words.fit_transform([text or "" for text in texts])
    except ValueError as error:
        raise ValueError(f"the items have no words: {error}") from None
    return _reduced(sparse.csr_array(table), size, seed)


def copurchase_vectors(baskets: sparse.csr_array, size: int, *, seed: int = 0) -> np.ndarray:
    """Vectors of what is bought together: positive pointwise mutual information of pairs of items,
    log p(i, j) / (p(i) p(j)) where above 0, reduced. Levy and Goldberg (2014), NeurIPS.

    Args:
        baskets: [M, V] 1 where the item is in the training basket.
        size: D.
        seed: of the randomised decomposition.

    Returns:
        [V, D] float32 of length 1; zero for an item that was never bought beside another.
    """
    together = sparse.csr_array(baskets.T @ baskets).astype(np.float64)
    together.setdiag(0)
    together.eliminate_zeros()
    single = np.asarray(together.sum(axis=1)).ravel()
    total = max(float(single.sum()), 1.0)
    pairs = together.tocoo()
    row, column = pairs.coords
    mutual = np.log(pairs.data * total / (single[row] * single[column]))
    positive = mutual > 0
    shape = (baskets.shape[1], baskets.shape[1])
    table = sparse.csr_array((mutual[positive], (row[positive], column[positive])), shape=shape)
    return _reduced(table, size, seed)


def starting_vectors(
    baskets: sparse.csr_array, texts: Sequence[str] | None, size: int, *, seed: int = 0
) -> np.ndarray:
    """Half of each vector from what is bought together, half from the words; all from the baskets
    where there are no words. [V, D] float32, of length 1 at most

    Args:
        baskets: [M, V] 1 where the item is in the training basket.
        texts: [V] words of each item, or None.
        size: D.
        seed: of the decompositions.
    """
    if texts is None:
        return copurchase_vectors(baskets, size, seed=seed)
    halves = (
        copurchase_vectors(baskets, size // 2, seed=seed),
        text_vectors(texts, size - size // 2, seed=seed),
    )
    return np.concatenate(halves, axis=1) / np.float32(np.sqrt(2))


def _reduced(table: sparse.csr_array, size: int, seed: int) -> np.ndarray:
    rank = min(size, min(table.shape) - 1)
    vectors = np.zeros((table.shape[0], size), np.float32)
    if rank >= 1 and table.nnz:
        reducer = TruncatedSVD(rank, random_state=seed)
        vectors[:, :rank] = normalize(reducer.fit_transform(table))
    return vectors
