"""The models of the course in TensorFlow. Twin: companion.pytorch."""

# First of all: it sets what TensorFlow reads when it is imported.
from companion.tensorflow import start as start  # isort: split

from companion.tensorflow.checkpoint import load, load_into, save, weights_of
from companion.tensorflow.dqn import DQNLearner, QNetwork, td_loss, td_target
from companion.tensorflow.encoders import GRUEncoder, ItemEmbedding, last_state, masked_mean
from companion.tensorflow.recommend import NextBasketLearner, NextBasketModel, next_basket_loss
from companion.tensorflow.runtime import setup

__all__ = [
    "DQNLearner",
    "GRUEncoder",
    "ItemEmbedding",
    "NextBasketLearner",
    "NextBasketModel",
    "QNetwork",
    "last_state",
    "load",
    "load_into",
    "masked_mean",
    "next_basket_loss",
    "save",
    "setup",
    "td_loss",
    "td_target",
    "weights_of",
]
