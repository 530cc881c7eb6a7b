"""From a text's tokens to a vector, in PyTorch. Twin: companion/tensorflow/text_encoders.py."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion.pytorch.encoders import ItemEmbedding
from companion.recommenders.encoder_config import TextCNNConfig
from companion.recommenders.next_basket import PADDING


class TextCNN(nn.Module):
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
        each = (nn.Conv1d(size, filters, width) for width in config.widths)
        self.convolutions: Any = nn.ModuleList(each)
        self.dropout = nn.Dropout(config.dropout)
        self.dense = nn.Linear(filters * len(config.widths), config.hidden_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """The vectors of texts."""
        mask = (tokens != PADDING)[:, None]  # [B, 1, T]
        x = self.embedding(tokens).transpose(1, 2)  # [B, D, T]
        found = []
        for convolution in self.convolutions:
            beyond = convolution.weight.shape[2] - 1
            answers = F.relu(convolution(F.pad(x, (0, beyond))))  # [B, F, T]
            found.append(torch.where(mask, answers, 0.0).amax(2))  # [B, F]
        return self.dense(self.dropout(torch.cat(found, 1)))  # [B, H]
