"""Keras layers that have their weights at once, before anything has gone through them.

A layer made of such parts says `self.built = True`: Keras has nothing to find out by a trial call.
"""

import keras


def dense(inputs: int, outputs: int) -> keras.layers.Dense:
    """[..., inputs] -> [..., outputs]."""
    layer = keras.layers.Dense(outputs)
    layer.build((None, inputs))
    return layer


def normalisation(size: int, epsilon: float) -> keras.layers.LayerNormalization:
    """[..., size] to mean 0 and variance 1, times gamma, plus beta."""
    layer = keras.layers.LayerNormalization(epsilon=epsilon)
    layer.build((None, size))
    return layer


def convolution_of(inputs: int, filters: int, width: int) -> keras.layers.Conv1D:
    """[B, T + width - 1, inputs] -> [B, T, filters]."""
    layer = keras.layers.Conv1D(filters, width)
    layer.build((None, None, inputs))
    return layer
