"""The models of the course in TensorFlow. Twin: companion.pytorch."""

# First of all: it sets what TensorFlow reads when it is imported.
from companion.tensorflow import start as start  # isort: split

from companion.tensorflow.checkpoint import load, load_into, save, weights_of
from companion.tensorflow.collaborative import (
    CollaborativeLearner,
    MatrixFactorization,
    NeuMF,
    binary_loss,
    bpr_loss,
)
from companion.tensorflow.dqn import DQNLearner, QNetwork, td_loss, td_target
from companion.tensorflow.encoders import GRUEncoder, ItemEmbedding, last_state, masked_mean
from companion.tensorflow.graph import GraphSAGE, LightGCN, light_propagation, neighbour_loss
from companion.tensorflow.offline import conservative_gap, cql_loss
from companion.tensorflow.policy_gradient import (
    PolicyGradientLearner,
    PolicyNetwork,
    policy_gradient_loss,
    policy_loss,
    value_loss,
)
from companion.tensorflow.pretrain import SentenceEncoder
from companion.tensorflow.recommend import NextBasketLearner, NextBasketModel, next_basket_loss
from companion.tensorflow.runtime import setup
from companion.tensorflow.sequence_encoders import LSTMEncoder
from companion.tensorflow.sequence_losses import masked_item_loss, next_item_loss, sampled_loss
from companion.tensorflow.sequence_model import PredictionHead, SequenceModel
from companion.tensorflow.slate_policy import entropy, masked_logits, slate_log_probability
from companion.tensorflow.slate_q import slate_target, slate_td_loss
from companion.tensorflow.text_encoders import TextCNN
from companion.tensorflow.transformer import TransformerEncoder
from companion.tensorflow.two_tower import Tower, TwoTower, in_batch_loss

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
