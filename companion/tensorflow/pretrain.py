"""A published language model in the course's Transformer, in TensorFlow.

Twin: companion/pytorch/pretrain.py.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from companion.data.hub import read_hub
from companion.data.minilm import SentenceModel, read_model
from companion.data.text_batches import encode_with, padded, tokens_of
from companion.recommenders.encoder_config import TransformerConfig
from companion.tensorflow.encoders import masked_mean
from companion.tensorflow.named_weights import set_weights
from companion.tensorflow.transformer import TransformerEncoder


class SentenceEncoder(keras.layers.Layer):
    """Texts to vectors: BERT's encoder, the mean over a text's tokens, then length 1.

    Reimers and Gurevych, "Sentence-BERT" (2019). The blocks are those of `TransformerEncoder`,
    with attention in both directions and the norms behind the sums. Two vectors' product is the
    cosine of their angle, and says how near the texts are in meaning.

    Args:
        model: settings, weights and tokenizer, such as `read_model()` gives.

    Raises:
        ValueError: the weights do not fit the settings; the array is named.
    """

    def __init__(self, model: SentenceModel):
        super().__init__()
        s = model.settings
        config = TransformerConfig(
            size=s.size,
            heads=s.heads,
            layers=s.layers,
            feed_forward=s.feed_forward,
            max_length=s.max_length,
            causal=False,
            norm_first=False,
            activation=s.activation,
            norm_epsilon=s.norm_epsilon,
        )
        self.source = replace(model, weights={})  # they are copied into the layers below
        self.words = self.add_weight(shape=(s.num_tokens, s.size), initializer="zeros")
        self.encoder = TransformerEncoder(config)
        set_weights(self, model.weights)
        any_length = [tf.TensorSpec([None, None], kind) for kind in (tf.int32, tf.bool)]
        self._graph = tf.function(self.call, input_signature=any_length)  # half the time of eager

    @classmethod
    def from_folder(cls, folder: str | Path | None = None) -> "SentenceEncoder":
        """MiniLM from its data package, or a model from a folder; `read_model` says of which."""
        return cls(read_model(folder))

    @classmethod
    def from_hub(cls, name: str) -> "SentenceEncoder":
        """A BERT model of Hugging Face by name, or of a folder; `read_hub` says what it needs."""
        return cls(read_hub(name))

    @property
    def fingerprint(self) -> str:
        """sha256 of the files; tells models' vectors apart, until one of them is trained on."""
        return self.source.fingerprint

    @property
    def size(self) -> int:
        """H."""
        return self.source.settings.size

    def call(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Tokens [B, T] and mask [B, T] -> vectors [B, H] of length 1."""
        states = self.encoder(tf.gather(self.words, tokens), mask)  # [B, T, H]
        mean = masked_mean(states, mask)  # [B, H]
        return mean / tf.maximum(tf.norm(mean, axis=-1, keepdims=True), 1e-12)

    def encode(self, texts: Sequence[str], batch_size: int = 32) -> np.ndarray:
        """The vectors of texts, [N, H] float32; tokens beyond the model's limit are not read.

        Args:
            texts: N of them; an empty one has a vector too.
            batch_size: how many go through the model together, at most.

        Raises:
            ValueError: an entry is no text, or batch_size is below 1.
        """

        def vectors(tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
            return np.asarray(self._graph(tokens, mask))  # [B, H]

        return encode_with(vectors, self.source, texts, batch_size=batch_size)

    def attention_maps(self, text: str) -> tuple[list[str], np.ndarray]:
        """The tokens of a text as written, and where each looks: [L, M, T, T], rows sum to 1.

        Raises:
            ValueError: it is no text.
        """
        ids, mask = padded(tokens_of(self.source, [text]))  # [1, T] each
        words = [self.source.tokenizer.id_to_token(int(token)) for token in ids[0]]
        x = tf.gather(self.words, ids)  # [1, T, H]
        maps = self.encoder.attention_maps(x, tf.constant(mask))  # [L, 1, M, T, T]
        return words, np.asarray(maps[:, 0])
