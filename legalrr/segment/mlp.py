"""Network of the neural tagger: a BiLSTM over the sentences of a judgment, with a linear-chain CRF on top.

Shapes: B judgments, T sentences (padded), S size of an embedding, F extra features, R roles.
Sources: Huang, Xu and Yu 2015 (BiLSTM-CRF); Jin and Szolovits, EMNLP 2018 (over sentences: HSLN).
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class NetworkShape:
    """Sizes of the network."""

    states: int
    """Size of a sentence embedding (S)."""
    hints: int
    """Number of extra features (F); cards record it under this name."""
    roles: int
    """Number of roles (R)."""
    narrow: int = 96
    """Size to which an embedding is projected before it is concatenated with the extra features."""
    hidden: int = 96
    """Size of the LSTM per direction."""
    layers: int = 1
    """Layers of the LSTM."""
    dropout: float = 0.4
    """Dropout of embeddings, and of input and output of the LSTM."""

    def as_json(self) -> dict[str, Any]:
        """Return the sizes as JSON."""
        return asdict(self)


class Chain(nn.Module):
    """Linear-chain CRF: scores of role sequences from emissions, transitions, first and last role."""

    def __init__(self, roles: int) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(roles, roles))
        self.first = nn.Parameter(torch.zeros(roles))
        self.last = nn.Parameter(torch.zeros(roles))

    def log_partition(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Compute the log of the sum over all role sequences of the exponential of their score, [B].

        Args:
            emissions: score of each role for each sentence, [B, T, R].
            mask: False for padding, bool [B, T]; the first sentence of each row is True.
        """
        # alpha_t(r) = log sum over r' of exp(alpha_{t-1}(r') + transition(r', r)) + emission_t(r)
        alpha = self.first + emissions[:, 0]
        for t in range(1, emissions.shape[1]):
            step = torch.logsumexp(alpha[:, :, None] + self.transitions, dim=1) + emissions[:, t]
            alpha = torch.where(mask[:, t, None], step, alpha)
        return torch.logsumexp(alpha + self.last, dim=1)

    def score(self, emissions: Tensor, roles: Tensor, mask: Tensor) -> Tensor:
        """Compute the score of one role sequence per row, [B]; `roles` int64 [B, T], ignored where `mask` is False."""
        roles = roles.masked_fill(~mask, 0)
        emitted = emissions.gather(2, roles[:, :, None])[:, :, 0]
        moved = self.transitions[roles[:, :-1], roles[:, 1:]]
        final = roles.gather(1, mask.sum(1, keepdim=True) - 1)[:, 0]
        inside = (emitted * mask).sum(1) + (moved * mask[:, 1:]).sum(1)
        return self.first[roles[:, 0]] + inside + self.last[final]

    def marginals(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Compute the marginal probability of each role for each sentence, [B, T, R]; 0 where `mask` is False."""
        with torch.enable_grad():
            # The derivative of the log partition with respect to an emission is the marginal probability.
            leaf = emissions.detach().requires_grad_()
            (probabilities,) = torch.autograd.grad(self.log_partition(leaf, mask).sum(), leaf)
        return probabilities


class TaggerNetwork(nn.Module):
    """BiLSTM from embeddings and extra features of the sentences to a score per role."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        self.narrow = nn.Sequential(
            nn.LayerNorm(shape.states), nn.Dropout(shape.dropout), nn.Linear(shape.states, shape.narrow), nn.GELU()
        )
        self.lstm = nn.LSTM(
            shape.narrow + shape.hints,
            shape.hidden,
            num_layers=shape.layers,
            dropout=shape.dropout if shape.layers > 1 else 0.0,
            batch_first=True,
            bidirectional=True,
        )
        self.dropout = nn.Dropout(shape.dropout)
        self.emit = nn.Linear(2 * shape.hidden + shape.hints, shape.roles)
        self.chain = Chain(shape.roles)

    def forward(self, states: Tensor, extra: Tensor, mask: Tensor) -> Tensor:
        """Compute emissions [B, T, R] from states [B, T, S], extra [B, T, F] and mask bool [B, T]."""
        inputs = self.dropout(torch.cat([self.narrow(states), extra], dim=2))
        packed = nn.utils.rnn.pack_padded_sequence(inputs, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        output, _ = self.lstm(packed)
        context, _ = nn.utils.rnn.pad_packed_sequence(output, batch_first=True, total_length=mask.shape[1])
        emissions: Tensor = self.emit(torch.cat([self.dropout(context), extra], dim=2))
        return emissions

    def loss(self, states: Tensor, extra: Tensor, mask: Tensor, roles: Tensor) -> Tensor:
        """Compute the negative log-likelihood of the gold roles per sentence, a scalar."""
        emissions = self(states, extra, mask)
        likelihood = self.chain.score(emissions, roles, mask) - self.chain.log_partition(emissions, mask)
        return -likelihood.sum() / mask.sum()
