"""From texts to batches of tokens, and from the vectors of batches to one table.

Letters: N texts, B texts of a batch, T tokens of the longest, H size of a vector.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from companion.data.minilm import SentenceModel

MOST_PLACES = 8192  # tokens in a batch, padding counted; keeps the attention maps in the memory

Forward = Callable[[np.ndarray, np.ndarray], np.ndarray]  # [B, T], [B, T] -> [B, H]


def tokens_of(model: SentenceModel, texts: Sequence[str]) -> list[np.ndarray]:
    """The numbers of each text's tokens, [T] each, the marks of beginning and end among them.

    Raises:
        ValueError: an entry is no text; its row is named.
    """
    check_texts(texts)
    found = model.tokenizer.encode_batch_fast(list(texts))
    return [np.array(one.ids, np.int32) for one in found]


def check_texts(texts: Sequence[str]) -> None:
    """Raises ValueError where an entry is no text, or one that cannot be written in UTF-8."""
    if isinstance(texts, str):
        raise ValueError("texts must be a list of texts; got one text")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"texts must be text; row {row} is {text!r}")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(f"row {row} is no valid Unicode: {text!r}") from None


def padded(tokens: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [B, T] int32 and mask [B, T] of texts of several lengths, padded on the right."""
    lengths = np.array([len(each) for each in tokens])  # [B]
    mask = np.arange(lengths.max()) < lengths[:, None]  # [B, T]
    table = np.zeros(mask.shape, np.int32)
    table[mask] = np.concatenate(tokens)
    return table, mask


def encode_with(
    forward: Forward, model: SentenceModel, texts: Sequence[str], *, batch_size: int
) -> np.ndarray:
    """The vectors of texts, each text computed once, those of like length together.

    Args:
        forward: tokens and mask of a batch -> its vectors.
        model: whose tokenizer and size count.
        texts: N of them.
        batch_size: B at most; fewer where the texts are long.

    Returns:
        [N, H] float32, in the order of the texts.

    Raises:
        ValueError: an entry is no text, or batch_size is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more; got {batch_size}")
    check_texts(texts)
    rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    tokens = tokens_of(model, list(rows))
    vectors = np.empty((len(rows), model.settings.size), np.float32)
    for batch in _batches([len(each) for each in tokens], batch_size):
        vectors[batch] = forward(*padded([tokens[row] for row in batch]))
    return vectors[[rows[text] for text in texts]]


def _batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Rows in order of their length, longest first, so that what is too large fails at once."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    start = 0
    while start < len(order):
        most = min(batch_size, max(1, MOST_PLACES // lengths[order[start]]))
        yield order[start : start + most]
        start += most
