"""Attention over a user's history, in TensorFlow. Twin: companion/pytorch/transformer.py."""

from typing import NamedTuple

import keras
import tensorflow as tf
from tensorflow import Tensor

from companion.recommenders.encoder_config import TransformerConfig
from companion.recommenders.next_basket import NEVER
from companion.tensorflow._layers import dense, normalisation
from companion.tensorflow.encoders import last_state


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    allowed: Tensor,
    *,
    dropout: keras.Layer | None = None,
) -> tuple[Tensor, Tensor]:
    """softmax(Q K' / sqrt(S)) V over the allowed places: Vaswani et al. (2017), equation 1.

    A query that may look nowhere gets zeros: a softmax over nothing would be NaN.

    Args:
        query: [..., T, S].
        key: [..., U, S].
        value: [..., U, S].
        allowed: [..., T, U], or what broadcasts to it; true where a query may look.
        dropout: of the weights.

    Returns:
        The means [..., T, S] and the weights [..., T, U], which are the attention map.
    """
    scores = tf.matmul(query, key, transpose_b=True) / key.shape[-1] ** 0.5  # [..., T, U]
    weights = tf.nn.softmax(tf.where(allowed, scores, NEVER))  # [..., T, U]
    weights = tf.where(allowed, weights, 0.0)
    kept = weights if dropout is None else dropout(weights)
    return tf.matmul(kept, value), weights


class MultiHeadAttention(keras.layers.Layer):
    """M heads, each with its own look at the same vectors. Vaswani et al. (2017), section 3.2.2.

    Args:
        size: H.
        heads: M; each has size S = H / M.
        dropout: share of the weights that are set to zero while training.
    """

    def __init__(self, size: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.query = dense(size, size)
        self.key = dense(size, size)
        self.value = dense(size, size)
        self.out = dense(size, size)
        self.dropout = keras.layers.Dropout(dropout)
        self.built = True

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of all heads: [B, T, H] -> [B, M, T, S] each."""
        places = tf.shape(x)[1]
        shape = (-1, places, self.heads, x.shape[2] // self.heads)  # [B, T, M, S]
        query, key, value = self.query(x), self.key(x), self.value(x)  # [B, T, H] each
        return (
            tf.transpose(tf.reshape(query, shape), (0, 2, 1, 3)),
            tf.transpose(tf.reshape(key, shape), (0, 2, 1, 3)),
            tf.transpose(tf.reshape(value, shape), (0, 2, 1, 3)),
        )

    def call(
        self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """[B, M, T, S], [B, M, U, S] twice, [B, 1, T, U] -> [B, T, H] and maps [B, M, T, U]."""
        heads, weights = attend(query, key, value, allowed, dropout=self.dropout)  # [B, M, T, S]
        turned = tf.transpose(heads, (0, 2, 1, 3))  # [B, T, M, S]
        joined = tf.reshape(turned, (-1, tf.shape(turned)[1], self.heads * heads.shape[3]))
        return self.out(joined), weights  # [B, T, H]


class TransformerBlock(keras.layers.Layer):
    """Attention, then two layers at each place; what goes in is added to what comes out of either.

    The norms stand before the two parts (Xiong et al., "On layer normalization in the Transformer
    architecture", 2020) or, as in the first Transformer and in BERT, behind the sums.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        size, epsilon = config.size, config.norm_epsilon
        self.norm_first, self.activation = config.norm_first, config.activation
        self.attention = MultiHeadAttention(size, config.heads, config.dropout)
        self.attention_norm = normalisation(size, epsilon)
        self.wide = dense(size, config.feed_forward)
        self.narrow = dense(config.feed_forward, size)
        self.feed_norm = normalisation(size, epsilon)
        self.dropout = keras.layers.Dropout(config.dropout)
        self.built = True

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of what goes in: [B, T, H] -> [B, M, T, S] each."""
        return self.attention.project(self.attention_norm(x) if self.norm_first else x)

    def feed(self, x: Tensor) -> Tensor:
        """The two layers of each place: [B, T, H] -> [B, T, H]."""
        act = tf.nn.gelu if self.activation == "gelu" else tf.nn.relu  # gelu: the exact one
        return self.dropout(self.narrow(act(self.wide(x))))

    def call(
        self, x: Tensor, projected: tuple[Tensor, Tensor, Tensor], allowed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """[B, T, H], what `project` gave, [B, 1, T, U] -> [B, T, H] and maps [B, M, T, U]."""
        found, weights = self.attention(*projected, allowed)  # [B, T, H]
        x = x + self.dropout(found)
        if self.norm_first:
            return x + self.feed(self.feed_norm(x)), weights
        x = self.attention_norm(x)
        return self.feed_norm(x + self.feed(x)), weights


class TransformerState(NamedTuple):
    """What the next event needs of those before it: a key/value cache. One row for each user."""

    keys: Tensor  # [B, L, M, T, S], zeros from `length` on
    values: Tensor  # [B, L, M, T, S]
    length: Tensor  # [B] whole numbers: events so far


class TransformerEncoder(keras.layers.Layer):
    """Reads a user's events in order: [B, T, H], mask [B, T] -> states [B, T, H].

    Causal with learned positions: Kang and McAuley, "Self-attentive sequential recommendation"
    (2018). Without the causal mask: the encoder of Sun et al., "BERT4Rec" (2019), and of BERT,
    whose token type, where there is one only, is added to the positions. Position 0 is the oldest
    event. Sequences are padded on the right; states at padded places are zero.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        normal = keras.initializers.RandomNormal(stddev=0.02)
        self.position = self.add_weight(shape=(config.max_length, config.size), initializer=normal)
        self.blocks = [TransformerBlock(config) for _ in range(config.layers)]
        self.norm = normalisation(config.size, config.norm_epsilon)
        self.dropout = keras.layers.Dropout(config.dropout)
        self.built = True

    def call(self, x: Tensor, mask: Tensor) -> Tensor:
        """The states at each place, [B, T, H]."""
        return self._run(x, mask)[0]

    def attention_maps(self, x: Tensor, mask: Tensor) -> Tensor:
        """Where each place looks, by block and head: [L, B, M, T, T].

        A row's sum is 1, or 0 where there is nowhere to look: a user without any event.
        """
        return tf.stack(self._run(x, mask)[1])

    def start(self, batch_size: int) -> TransformerState:
        """The state of users without any event.

        Raises:
            ValueError: the encoder is not causal: an event changes what was said of earlier ones.
        """
        config = self.config
        if not config.causal:
            raise ValueError("only a causal encoder can go on event by event")
        head = config.size // config.heads
        shape = (batch_size, config.layers, config.heads, config.max_length, head)
        return TransformerState(tf.zeros(shape), tf.zeros(shape), tf.zeros(batch_size, tf.int64))

    def prefill(self, x: Tensor, mask: Tensor) -> tuple[Tensor, TransformerState]:
        """The last state [B, H] of each history, and the state from which `step` goes on."""
        start = self.start(tf.shape(x)[0])
        states, _, projected = self._run(x, mask)
        room = [(0, 0)] * 3 + [(0, self.config.max_length - x.shape[1]), (0, 0)]
        there = mask[:, None, None, :, None]  # [B, 1, 1, T, 1]
        keys, values = (
            tf.pad(tf.where(there, tf.stack([p[i] for p in projected], 1), 0.0), room)
            for i in (1, 2)
        )  # [B, L, M, T, S]
        length = start.length + tf.reduce_sum(tf.cast(mask, tf.int64), 1)
        return last_state(states, mask), TransformerState(keys, values, length)

    def step(self, state: TransformerState, x: Tensor) -> tuple[Tensor, TransformerState]:
        """One event more: x [B, H] -> the state at its place [B, H], and what comes next needs.

        Raises:
            ValueError: a user has `max_length` events already; begin anew from the latest ones.
        """
        length = self._with_room(state.length)  # [B]
        places = tf.range(self.config.max_length, dtype=tf.int64)  # [T]
        here = (places == length[:, None])[:, None, :, None]  # [B, 1, T, 1]
        allowed = (places <= length[:, None])[:, None, None]  # [B, 1, 1, T]
        x = self._enter((x + tf.gather(self.position, length))[:, None])  # [B, 1, H]
        keys, values = [], []
        for index, block in enumerate(self.blocks):
            query, key, value = block.project(x)  # [B, M, 1, S]
            keys.append(tf.where(here, key, state.keys[:, index]))  # [B, M, T, S]
            values.append(tf.where(here, value, state.values[:, index]))
            x, _ = block(x, (query, keys[-1], values[-1]), allowed)
        following = TransformerState(tf.stack(keys, 1), tf.stack(values, 1), length + 1)
        return self._leave(x)[:, 0], following

    def _run(
        self, x: Tensor, mask: Tensor
    ) -> tuple[Tensor, list[Tensor], list[tuple[Tensor, Tensor, Tensor]]]:
        """States, and of each block its map and what it projected."""
        places = x.shape[1]
        if places is None:  # in a graph for sequences of any length
            places = tf.shape(x)[1]
        elif places > self.config.max_length:
            raise ValueError(f"max_length is {self.config.max_length}; got {places} places")
        there = mask[..., None]  # [B, T, 1]
        x = self._enter(tf.where(there, x, 0.0) + self.position[:places])  # [B, T, H]
        allowed = mask[:, None, None, :]  # [B, 1, 1, T]
        if self.config.causal:
            place = tf.range(places)  # [T]
            allowed = allowed & (place <= place[:, None])  # [B, 1, T, T]
        maps, projected = [], []
        for block in self.blocks:
            projected.append(block.project(x))
            x, weights = block(x, projected[-1], allowed)
            maps.append(weights)
        return tf.where(there, self._leave(x), 0.0), maps, projected

    def _enter(self, x: Tensor) -> Tensor:
        return self.dropout(x if self.config.norm_first else self.norm(x))

    def _leave(self, x: Tensor) -> Tensor:
        return self.norm(x) if self.config.norm_first else x

    def _with_room(self, length: Tensor) -> Tensor:
        """The lengths, [B], if each leaves room for one event more."""
        most = self.config.max_length
        if not tf.executing_eagerly():  # in a graph there is no number to look at yet
            limit = tf.cast(most, length.dtype)
            check = tf.debugging.assert_less(length, limit, "a user is at max_length")
            with tf.control_dependencies([check]):  # before anything looks for its place
                return tf.identity(length)
        if bool(tf.reduce_any(length >= most)):
            row = int(tf.argmax(length >= most))
            raise ValueError(f"row {row} has {most} events already, which is max_length")
        return length
