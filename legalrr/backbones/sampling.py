"""Sample tokens with the settings of a model card, with one seed per answer."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from legalrr.errors import UserError

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True, kw_only=True)
class CardSampling:
    """Sampling settings of a model card. Nothing is read from the files of the model."""

    temperature: float
    """Divisor of the logits."""
    top_p: float = 1.0
    """Keep the most probable tokens up to this cumulative probability; 1: all."""
    top_k: int = 0
    """Keep this many of the most probable tokens; 0: all."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of every token that already occurs in the answer."""

    def check(self, option: str) -> None:
        """Raise UserError, naming the field under `option`, for a value out of range."""
        for name, value, valid, cure in (
            ("temperature", self.temperature, self.temperature > 0, "give a number above 0, or use decoding=greedy"),
            ("top_p", self.top_p, 0 < self.top_p <= 1, "give a number above 0 and up to 1"),
            ("top_k", self.top_k, self.top_k >= 0, "give a positive number, or 0 for all"),
        ):
            if not valid:
                raise UserError(f"{name} is {value}", where=f"{option}.{name}", cure=cure)


def check_decoding(decoding: str, card: CardSampling | None, *, option: str) -> None:
    """Raise UserError if decoding is `card` without a card, or the card has values out of range."""
    if decoding == "card" and card is None:
        raise UserError(
            "decoding=card needs sampling settings",
            where=f"{option}.card",
            cure=f"use {option}.decoding=greedy, or give {option}.card temperature, top_p, top_k, presence_penalty",
        )
    if card is not None:
        card.check(f"{option}.card")


def repeated_seed(seed: int, repetition: int, decoding: str, *, option: str) -> int:
    """Return the seed of a repetition of an experiment; raises UserError for greedy answers, which are identical."""
    if decoding == "greedy":
        raise UserError(
            "greedy answers are identical in every repetition",
            where=f"repetition={repetition}",
            cure=f"use {option}.decoding=card, which samples, or repetition=1",
        )
    return seed + repetition - 1


def call_seed(seed: int, key: str) -> int:
    """Return the seed of one call, below 2**63."""
    return int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Find the tokens that were generated in a batch.

    A logits processor gets those of earlier calls of `generate` as part of the padded prompts.
    """

    before: Sequence[Sequence[int]]
    """For each row, tokens generated before this call."""
    width: int
    """Length of the padded prompts with these, in tokens."""

    def rows(self, input_ids: "Tensor") -> list[list[int]]:
        """Return the tokens generated so far in each row of (rows, tokens)."""
        now = input_ids[:, self.width :].tolist()
        return [[*before, *tokens] for before, tokens in zip(self.before, now, strict=True)]


class Sampler:
    """Logits processor of transformers that turns greedy decoding into sampling.

    The argmax of log p - log E over all tokens, with E drawn from the exponential distribution for each, is a sample
    from p (the Gumbel-max trick: Maddison, Tarlow, Minka, A* Sampling, arXiv 1411.0030). Each row has its own
    generator, so an answer does not depend on the other rows of the batch.

    Args:
        card: sampling settings.
        generators: one per row.
        generated: finds the tokens generated so far.
    """

    def __init__(self, card: CardSampling, generators: Sequence["Generator"], generated: Generated) -> None:
        from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

        self._penalty = card.presence_penalty
        self._generated = generated
        self._generators = generators
        self._warpers: list[Any] = [TemperatureLogitsWarper(card.temperature)]
        if card.top_k:
            self._warpers.append(TopKLogitsWarper(card.top_k))
        if card.top_p < 1:
            self._warpers.append(TopPLogitsWarper(card.top_p))

    def __call__(self, input_ids: "Tensor", scores: "Tensor") -> "Tensor":
        """Return perturbed scores (rows, vocabulary), given the tokens (rows, tokens) so far."""
        import torch

        present = torch.zeros_like(scores)
        for row, tokens in enumerate(self._generated.rows(input_ids)):
            present[row, tokens] = self._penalty
        scores = scores - present
        for warp in self._warpers:
            scores = warp(input_ids, scores)
        drawn = [torch.empty(scores.shape[1], dtype=torch.float64) for _ in self._generators]
        noise = torch.stack([row.exponential_(generator=g) for row, g in zip(drawn, self._generators, strict=True)])
        return scores - noise.log().to(scores)
