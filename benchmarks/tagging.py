"""Measure the throughput of the taggers on running text, on one core.

    LEGALRR_DATA=... python benchmarks/tagging.py [--judgments 20] [--neural 2]

Prints sentences per second from text to tagged spans for the CRF, the share of sentence splitting, and the neural
tagger's time on the same judgments as a multiple of the CRF's.
"""

import argparse
import time
from collections.abc import Callable, Sequence

from legalrr.corpora.catalogue import card
from legalrr.protocols import Segmenter
from legalrr.records import Judgment
from legalrr.segment.tagger import load_tagger
from legalrr.sentences import split

CORPUS = "inabs"
REPEATS = 3


def main() -> None:
    """Measure and print the results."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgments", type=int, default=20, help="judgments of inabs for the CRF (default 20)")
    parser.add_argument("--neural", type=int, default=2, help="of these, judgments for the neural tagger (default 2)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    reader = card(CORPUS).reader()
    judgments = [judgment for _, judgment in zip(range(options.judgments), reader.read(reader.split), strict=False)]
    sentences = sum(len(split(judgment.text)) for judgment in judgments)
    splitting = _best(lambda: [split(judgment.text) for judgment in judgments])
    crf = load_tagger("crf", scheme="build")
    whole = _best(lambda: _tag(crf, judgments))
    print(f"{CORPUS}, {len(judgments)} judgments, {sentences} sentences, one thread, best of {REPEATS}")
    print(f"splitting + CRF: {sentences / whole:,.0f} sentences/s ({splitting / whole:.0%} of it splitting)")
    few = judgments[: options.neural]
    neural = load_tagger("neural", scheme="build")
    _tag(neural, few[:1])
    multiple = _time(lambda: _tag(neural, few)) / _best(lambda: _tag(crf, few))
    print(f"neural: {multiple:,.0f} times the CRF's time ({len(few)} of these judgments)")


def _tag(segmenter: Segmenter, judgments: Sequence[Judgment]) -> None:
    for judgment in judgments:
        segmenter.segment(judgment)


def _best(work: Callable[[], object]) -> float:
    work()
    return min(_time(work) for _ in range(REPEATS))


def _time(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
