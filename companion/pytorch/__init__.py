"""The models of the course in PyTorch. Twin: companion.tensorflow."""

# First of all: it sets what PyTorch reads when it is imported.
from companion.pytorch import start as start  # isort: split

from companion.pytorch.checkpoint import load, load_into, save, weights_of
from companion.pytorch.dqn import DQNLearner, QNetwork, td_loss, td_target
from companion.pytorch.encoders import GRUEncoder, ItemEmbedding, last_state, masked_mean
from companion.pytorch.recommend import NextBasketLearner, NextBasketModel, next_basket_loss
from companion.pytorch.runtime import setup

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
