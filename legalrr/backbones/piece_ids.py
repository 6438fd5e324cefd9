"""Give ids to the pieces that a token counter without a vocabulary cuts a text into."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Protocol


class Pieces(Protocol):
    """Cuts a text into pieces."""

    def token_ends(self, text: str) -> list[int]:
        """See `legalrr.protocols.Tokens`."""


def piece_ids(messages: Iterable[Mapping[str, Any]], tokens: Pieces) -> list[int]:
    """Return a 64-bit id for each piece of the messages; equal pieces have equal ids within a process.

    Args:
        messages: a conversation of texts; its pieces are counted without roles.
        tokens: cuts a text into pieces.
    """
    ids = []
    for message in messages:
        text = message["content"]
        ids += [hash(text[start:end]) for start, end in pairwise([0, *tokens.token_ends(text)])]
    return ids
