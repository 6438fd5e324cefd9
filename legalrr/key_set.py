"""Sets of keys in little memory: the digests that an index of a store has, too, 8 bytes each in place of the keys."""

from typing import Protocol

from legalrr.shards import key_digest


class Keys(Protocol):
    """What a set of keys offers; a `set` of strings is one."""

    def add(self, key: str, /) -> None:
        """Add a key."""

    def remove(self, key: str, /) -> None:
        """Remove a key; raises KeyError."""

    def __contains__(self, key: object, /) -> bool:
        """Whether a key is in the set."""

    def __len__(self) -> int:
        """Number of keys."""


class KeySet:
    """Keys of a store; two of 10,000,000 are taken for the same with probability 3e-6."""

    def __init__(self) -> None:
        self._digests: set[int] = set()

    def add(self, key: str, /) -> None:
        """Add a key."""
        self._digests.add(key_digest(key))

    def remove(self, key: str, /) -> None:
        """Remove a key; raises KeyError."""
        self._digests.remove(key_digest(key))

    def __contains__(self, key: object, /) -> bool:
        """Whether a key is in the set."""
        return isinstance(key, str) and key_digest(key) in self._digests

    def __len__(self) -> int:
        """Number of keys."""
        return len(self._digests)
