"""A long short-term memory over a user's events, in PyTorch.

Twin: companion/tensorflow/sequence_encoders.py.
"""

import torch
from torch import Tensor, nn


class LSTMEncoder(nn.Module):
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
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        # cuDNN has two biases where one is enough. Two would move twice as far in a step of Adam.
        nn.init.zeros_(self.lstm.get_parameter("bias_hh_l0")).requires_grad_(False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """The states after each event, [B, T, H]."""
        there = mask[..., None]  # [B, T, 1]
        states, _ = self.lstm(torch.where(there, x, 0.0))  # [B, T, H]
        return torch.where(there, states, 0.0)

    def start(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """h and c of users without any event: zeros, [B, H] each."""
        bias = self.lstm.get_parameter("bias_hh_l0")
        zeros = bias.new_zeros(batch_size, self.hidden_size)
        return zeros, zeros

    def step(self, state: tuple[Tensor, Tensor], x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One event more: h and c, x [B, D] -> the state at its place [B, H], and h and c anew."""
        before = state[0][None], state[1][None]  # [1, B, H] each
        _, (h, c) = self.lstm(x[:, None], before)  # [1, B, H] each
        return h[0], (h[0], c[0])
