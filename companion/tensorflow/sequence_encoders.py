"""A long short-term memory over a user's events, in TensorFlow.

Twin: companion/pytorch/sequence_encoders.py.
"""

import keras
import tensorflow as tf
from tensorflow import Tensor


class LSTMEncoder(keras.layers.Layer):
    """Reads a user's events in order: [B, T, D], mask [B, T] -> states [B, T, H].

    The state at t knows the events 0..t. Sequences are padded on the right, so that padding comes
    after all that counts; states at padded places are zero.

        i, f, o = sigmoid(x W + h U + b), each with its own columns;  n = tanh(x Wn + h Un + bn)
        c' = f * c + i * n,  h' = o * tanh(c')

    Hochreiter and Schmidhuber, "Long short-term memory" (1997), with the forget gate of Gers et
    al., "Learning to forget" (2000).

    Args:
        input_size: D.
        hidden_size: H.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.hidden_size = hidden_size
        self.lstm = keras.layers.LSTM(hidden_size, return_sequences=True)
        self.lstm.build((None, None, input_size))
        self.built = True

    def call(self, x: Tensor, mask: Tensor) -> Tensor:
        """The states after each event, [B, T, H]."""
        there = mask[..., None]  # [B, T, 1]
        # The layer gets no mask: a row of padding alone stops cuDNN, and is zeroed here anyway.
        states = self.lstm(tf.where(there, x, 0.0))  # [B, T, H]
        return tf.where(there, states, 0.0)

    def start(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """h and c of users without any event: zeros, [B, H] each."""
        zeros = tf.zeros((batch_size, self.hidden_size))
        return zeros, zeros

    def step(self, state: tuple[Tensor, Tensor], x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One event more: h and c, x [B, D] -> the state at its place [B, H], and h and c anew."""
        _, (h, c) = self.lstm.cell(x, list(state))  # [B, H] each
        return h, (h, c)
