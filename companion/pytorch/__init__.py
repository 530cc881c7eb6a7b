"""The models of the course in PyTorch. Twin: companion.tensorflow."""

# First of all: it sets what PyTorch reads when it is imported.
from companion.pytorch import start as start  # isort: split

from companion.pytorch.checkpoint import load, load_into, save, weights_of
from companion.pytorch.collaborative import (
    CollaborativeLearner,
    MatrixFactorization,
    NeuMF,
    binary_loss,
    bpr_loss,
)
from companion.pytorch.dqn import DQNLearner, QNetwork, td_loss, td_target
from companion.pytorch.encoders import GRUEncoder, ItemEmbedding, last_state, masked_mean
from companion.pytorch.graph import GraphSAGE, LightGCN, light_propagation, neighbour_loss
from companion.pytorch.offline import conservative_gap, cql_loss
from companion.pytorch.policy_gradient import (
    PolicyGradientLearner,
    PolicyNetwork,
    policy_gradient_loss,
    policy_loss,
    value_loss,
)
from companion.pytorch.pretrain import SentenceEncoder
from companion.pytorch.recommend import NextBasketLearner, NextBasketModel, next_basket_loss
from companion.pytorch.runtime import setup
from companion.pytorch.sequence_encoders import LSTMEncoder
from companion.pytorch.sequence_losses import masked_item_loss, next_item_loss, sampled_loss
from companion.pytorch.sequence_model import PredictionHead, SequenceModel
from companion.pytorch.slate_policy import entropy, masked_logits, slate_log_probability
from companion.pytorch.slate_q import slate_target, slate_td_loss
from companion.pytorch.text_encoders import TextCNN
from companion.pytorch.transformer import TransformerEncoder
from companion.pytorch.two_tower import Tower, TwoTower, in_batch_loss

__all__ = [
    "CollaborativeLearner",
    "DQNLearner",
    "GRUEncoder",
    "GraphSAGE",
    "ItemEmbedding",
    "LSTMEncoder",
    "LightGCN",
    "MatrixFactorization",
    "NeuMF",
    "NextBasketLearner",
    "NextBasketModel",
    "PolicyGradientLearner",
    "PolicyNetwork",
    "PredictionHead",
    "QNetwork",
    "SentenceEncoder",
    "SequenceModel",
    "TextCNN",
    "Tower",
    "TransformerEncoder",
    "TwoTower",
    "binary_loss",
    "bpr_loss",
    "conservative_gap",
    "cql_loss",
    "entropy",
    "in_batch_loss",
    "last_state",
    "light_propagation",
    "load",
    "load_into",
    "masked_item_loss",
    "masked_logits",
    "masked_mean",
    "neighbour_loss",
    "next_basket_loss",
    "next_item_loss",
    "policy_gradient_loss",
    "policy_loss",
    "sampled_loss",
    "save",
    "setup",
    "slate_log_probability",
    "slate_target",
    "slate_td_loss",
    "td_loss",
    "td_target",
    "value_loss",
    "weights_of",
]
