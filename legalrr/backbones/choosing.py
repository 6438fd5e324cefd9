"""Restricting what is written to given choices, token by token."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Chooser:
    """A logits processor of transformers that leaves each row only its choices, and after a whole choice its end.

    A choice is written in the tokens that its text by itself is cut into, those in which it is compared too.

    Args:
        choices: token ids of each choice of each row; a row without any may write what it likes.
        ends: tokens that end an answer.
        width: tokens of the padded prompts.
    """

    def __init__(self, choices: Sequence[Sequence[Sequence[int]]], ends: Sequence[int], width: int) -> None:
        self._choices = choices
        self._ends = ends
        self._width = width

    def __call__(self, input_ids: "Tensor", scores: "Tensor") -> "Tensor":
        """Scores (rows, vocabulary) after the tokens (rows, tokens), with minus infinity for what may not follow."""
        import torch

        kept = torch.full_like(scores, -torch.inf)
        for row, choices in enumerate(self._choices):
            allowed = self._next(choices, input_ids[row, self._width :].tolist())
            kept[row, allowed] = scores[row, allowed]
        return kept

    def _next(self, choices: Sequence[Sequence[int]], written: list[int]) -> list[int] | slice:
        """Tokens that may follow; all of them where a row is free, or has ended and is only padded."""
        if not choices or not set(self._ends).isdisjoint(written):
            return slice(None)
        begun = [choice for choice in choices if list(choice[: len(written)]) == written]
        following = {choice[len(written)] for choice in begun if len(choice) > len(written)}
        return sorted(following.union(self._ends if any(len(choice) == len(written) for choice in begun) else ()))
