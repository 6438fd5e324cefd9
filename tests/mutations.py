"""Damaged versions of files, for tests of readers: values replaced, bytes cut out, replaced or repeated."""

import copy
import json
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from legalrr.errors import UserError

MUTATIONS = int(os.environ.get("LEGALRR_FUZZ", "1000"))
"""Damaged versions of each file; `make fuzz` sets LEGALRR_FUZZ and tries more."""
ODD = (None, True, False, 0, -1, 1e308, 2**70, 0.5, "", "allowed", "\x00", "x" * 5000, "\ud800", "../../x", "[1]")
ODD += ([], [[]], {}, {"a": 1}, [1, 2], [None], {"fields": 3}, {"content": 3})
RAW = (b"\x00", b"\xff", b"\n", b"{", b"]", b'"', b"NaN", b"1e999", b"\xef\xbb\xbf", b"&a ", b"*a")
RAW += (b"[" * 3000, b"9" * 5000)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (container, key) in a JSON value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def mutate_json(value: Any, chance: random.Random) -> Any:
    """Return a JSON value with one to three fields replaced, removed or added."""
    value = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        found = list(places(value))
        if not found:
            return chance.choice(ODD)
        container, key = chance.choice(found)
        if chance.random() < 0.25:
            del container[key]
        elif chance.random() < 0.1 and isinstance(container, dict):
            container[chance.choice(("later", "", "\n"))] = chance.choice(ODD)
        else:
            container[key] = copy.deepcopy(chance.choice(ODD))
    return value


def mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with a part cut out, replaced, or repeated."""
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    end = min(end, start + chance.choice((0, 1, 8, 1000)))
    return data[:start] + chance.choice((b"", data[start:end] * 2, *RAW)) + data[end:]


def mutations(data: bytes, count: int, *, lines: bool) -> Iterator[bytes]:
    """Yield damaged versions of a file of JSON, of one value or of one per line."""
    chance = random.Random(count)
    values = [json.loads(line) for line in (data.splitlines() if lines else [data])]
    for _ in range(count):
        if chance.random() < 0.3:
            yield mutate_bytes(data, chance)
            continue
        some = list(values)
        at = chance.randrange(len(some))
        some[at] = mutate_json(some[at], chance)
        yield ("\n".join(map(json.dumps, some)) + "\n" * lines).encode()


def ends_well(file: Path, read: Callable[[], object], *, line: bool = False) -> bool:
    """Whether a reader accepts the file; fails unless it ends or raises one line that names the file (and a line)."""
    try:
        read()
    except UserError as error:
        found = error
    else:
        return True
    assert str(file.parent) in found.where, found
    assert not line or re.search(rf"{re.escape(str(file))}:[0-9]+|in line [0-9]+", str(found)), found
    assert len(str(found).splitlines()) == 1
    assert len(str(found)) < 1200
    return False


def accepted(file: Path, versions: Iterable[bytes], read: Callable[[], object], *, line: bool = False) -> int:
    """Return how many versions of a file a reader accepts; fails unless each ends well."""
    found = 0
    file.touch()
    for data in versions:
        # Truncating a file to nothing, as write_bytes does, is slow on some file systems.
        with file.open("r+b") as written:
            written.write(data)
            written.truncate()
        found += ends_well(file, read, line=line)
    return found


def damaged(data: bytes, seed: int, *, count: int = MUTATIONS, more: Sequence[bytes] = ()) -> Iterator[bytes]:
    """Yield versions of a file with one to three damaged parts; `more` are inserted now and then."""
    chance = random.Random(seed)
    for _ in range(count):
        found = data
        for _ in range(chance.randint(1, 3)):
            found = mutate_bytes(found, chance)
        if more and chance.random() < 0.3:
            at = chance.randrange(len(found) + 1)
            found = found[:at] + chance.choice(more) + found[at:]
        yield found
