"""Vectors of texts, kept on the disk by content: a text that was encoded once is not again.

One file for each model in the folder `cache` of the data. A row is found by the sha256 of the
model's fingerprint and the text, so another model, or another text, is another row. Both
frameworks share the file: their vectors agree within 1e-5.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from companion.core.checkpoint import load, save
from companion.core.paths import data_folder
from companion.data.text_batches import check_texts

KEYS, VECTORS, DIGEST = "keys", "vectors", "sha256"


class Encoder(Protocol):
    """What turns texts into vectors, such as `SentenceEncoder` of either framework."""

    @property
    def fingerprint(self) -> str:
        """What tells this model's vectors from another's, in hexadecimal."""

    @property
    def size(self) -> int:
        """H, of a vector."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """[N, H] float32."""


def cached(encoder: Encoder, texts: Sequence[str], folder: Path | None = None) -> np.ndarray:
    """The vectors of texts: those that are kept, and the rest from the encoder, which then are.

    The file is written whole or not at all. One that is damaged is made again.

    Args:
        encoder: asked only for texts that are not kept, each once.
        texts: N of them.
        folder: of the files; None for the folder `cache` of the data.

    Returns:
        [N, H] float32, in the order of the texts.

    Raises:
        ValueError: an entry is no text, or the encoder gives another shape.
        OSError: the file cannot be written.
    """
    check_texts(texts)
    path = cache_file(encoder, folder)
    known = _read(path, encoder.size)
    keys = {text: _key(encoder, text) for text in texts}
    missing = [text for text, key in keys.items() if key not in known]
    if missing:
        vectors = np.asarray(encoder.encode(missing), np.float32)  # [N missing, H]
        if vectors.shape != (len(missing), encoder.size):
            wanted = (len(missing), encoder.size)
            raise ValueError(f"the encoder gave shape {vectors.shape}; {wanted} was due")
        fresh = {keys[text]: row for text, row in zip(missing, vectors, strict=True)}
        known = _read(path, encoder.size) | fresh | known  # another process may have added some
        _write(path, known)
    rows = [known[keys[text]] for text in texts]
    return np.array(rows, np.float32).reshape(len(rows), encoder.size)


def cache_file(encoder: Encoder, folder: Path | None = None) -> Path:
    """Where the vectors of this model are kept."""
    folder = data_folder() / "cache" if folder is None else folder
    return folder / f"embeddings-{encoder.fingerprint[:16]}.safetensors"


def _key(encoder: Encoder, text: str) -> bytes:
    return hashlib.sha256(f"{encoder.fingerprint}\n{text}".encode()).digest()


def _read(path: Path, size: int) -> dict[bytes, np.ndarray]:
    """The rows that are kept, by key; none where the file is missing, damaged or of another kind.

    A safetensors file has no checksum of its own, so a changed number would go unseen.
    """
    try:
        arrays, settings = load(path)
    except (OSError, ValueError):
        return {}
    keys, vectors = arrays.get(KEYS), arrays.get(VECTORS)
    if keys is None or vectors is None or settings.get(DIGEST) != _digest(keys, vectors):
        return {}
    if keys.shape != (len(vectors), 32) or vectors.shape[1:] != (size,):
        return {}
    return {key.tobytes(): row for key, row in zip(keys, vectors, strict=True)}


def _write(path: Path, known: Mapping[bytes, np.ndarray]) -> None:
    keys = np.frombuffer(b"".join(known), np.uint8).reshape(-1, 32)  # [N, 32]
    vectors = np.array(list(known.values()), np.float32)  # [N, H]
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, {KEYS: keys, VECTORS: vectors}, {DIGEST: _digest(keys, vectors)})


def _digest(keys: np.ndarray, vectors: np.ndarray) -> str:
    return hashlib.sha256(keys.tobytes() + vectors.tobytes()).hexdigest()
