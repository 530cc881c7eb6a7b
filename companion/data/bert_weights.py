"""From the names of a published BERT's weights to those of the course's Transformer."""

from collections.abc import Mapping

import numpy as np

PREFIX = "bert."  # before the names where the file holds a model with a head
BLOCK = {
    "attention.self.query": "attention/query",
    "attention.self.key": "attention/key",
    "attention.self.value": "attention/value",
    "attention.output.dense": "attention/out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "wide",
    "output.dense": "narrow",
    "output.LayerNorm": "feed_norm",
}


def course_weights(published: Mapping[str, np.ndarray], layers: int) -> dict[str, np.ndarray]:
    """The weights of an encoder by the course's names, float32, kernels [in, out].

    Every text is of token type 0, whose vector is added to the positions here. The pooler, which
    no sentence vector uses, and the heads of other tasks are left out.

    Args:
        published: by the names of the model's file; kernels [out, in].
        layers: L.

    Raises:
        ValueError: an array is missing, or there are more layers than L.
    """
    source = {name.removeprefix(PREFIX): value for name, value in published.items()}
    if any(name.startswith(f"encoder.layer.{layers}.") for name in source):
        raise ValueError(f"the settings name {layers} layers, but the weights have more")
    try:
        return _renamed(source, layers)
    except KeyError as error:
        raise ValueError(f"the weights have no array {error.args[0]}") from None


def _renamed(source: Mapping[str, np.ndarray], layers: int) -> dict[str, np.ndarray]:
    word = "embeddings.{}_embeddings.weight"
    kind = source[word.format("token_type")][0]  # [H]
    found = {
        "words": source[word.format("word")],  # [V, H]
        "encoder/position": source[word.format("position")] + kind,  # [places, H]
        **_layer(source, "embeddings.LayerNorm", "encoder/norm"),
    }
    for index in range(layers):
        for theirs, ours in BLOCK.items():
            at, name = f"encoder.layer.{index}.{theirs}", f"encoder/blocks/{index}/{ours}"
            found |= _layer(source, at, name)
    return {name: np.ascontiguousarray(value, np.float32) for name, value in found.items()}


def _layer(source: Mapping[str, np.ndarray], at: str, name: str) -> dict[str, np.ndarray]:
    """The two arrays of a dense layer or a norm. Older files call those of a norm gamma, beta."""
    if not at.endswith("LayerNorm"):
        return {f"{name}/kernel": source[f"{at}.weight"].T, f"{name}/bias": source[f"{at}.bias"]}
    old = f"{at}.gamma" in source
    scale, shift = ("gamma", "beta") if old else ("weight", "bias")
    return {f"{name}/gamma": source[f"{at}.{scale}"], f"{name}/beta": source[f"{at}.{shift}"]}
