"""From a text's tokens to a vector, in TensorFlow. Twin: companion/pytorch/text_encoders.py."""

import keras
import tensorflow as tf
from tensorflow import Tensor

from companion.recommenders.encoder_config import TextCNNConfig
from companion.recommenders.next_basket import PADDING
from companion.tensorflow._layers import convolution_of, dense
from companion.tensorflow.encoders import ItemEmbedding


class TextCNN(keras.layers.Layer):
    """Finds phrases of a few tokens wherever they stand: [B, T] tokens -> [B, H].

    A filter of width w looks at w tokens in a row and answers with one number; of a text its
    highest answer counts, and 0 at least. A window counts where it begins at a token; beyond the
    end stand zeros, so that a text may be shorter than a filter. Padding on the right, however
    much of it, changes nothing. A text without a token gives the bias of the last layer.

    Kim, "Convolutional neural networks for sentence classification" (2014).
    """

    def __init__(self, config: TextCNNConfig):
        super().__init__()
        size, filters = config.embedding_size, config.filters
        self.embedding = ItemEmbedding(config.num_tokens, size)
        self.convolutions = [convolution_of(size, filters, w) for w in config.widths]
        self.dropout = keras.layers.Dropout(config.dropout)
        self.dense = dense(filters * len(config.widths), config.hidden_size)
        self.built = True

    def call(self, tokens: Tensor) -> Tensor:
        """The vectors of texts."""
        mask = (tokens != PADDING)[..., None]  # [B, T, 1]
        x = self.embedding(tokens)  # [B, T, D]
        found = []
        for convolution in self.convolutions:
            beyond = convolution.kernel.shape[0] - 1
            padded = tf.pad(x, [(0, 0), (0, beyond), (0, 0)])
            answers = tf.nn.relu(convolution(padded))  # [B, T, F]
            found.append(tf.reduce_max(tf.where(mask, answers, 0.0), 1))  # [B, F]
        return self.dense(self.dropout(tf.concat(found, 1)))  # [B, H]
