"""Work that makes millions of records, without Python's search for cycles among them."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """While it lasts, Python does not look for dead objects that hold each other.

    Each search goes through all records that live, and finds nothing: for a report of 50 cells by 3,000 judgments they
    take a sixth of the time (23.3 s with them, 19.5 s without: `python benchmarks/report.py`).
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
