"""What the detection of verdicts and views hides in vain, and what it leaves: two rates, always together.

    python -m legalrr.leakage.hiding_rates tests/leakage/views.csv

A line of the file is a sentence that was read (corpus, id, offsets), with its decision (`verdict`: gives the outcome
away; `view`: the court's view of a point, from which it may be guessed; `other`: tells nothing) and how it was drawn:
`hidden` by detection, or `shown` and with an evaluative phrase in it ("was wrong", "we think", "no force").

hidden in vain    of the sentences read that detection hides, the share that tells nothing
left              of the sentences drawn by phrases that are shown, the share that gives the outcome away

A corpus is a name that `legalrr data list` shows, with its gold roles, or a file of texts below LEGALRR_DATA with
`doc_id` and `text`, whose roles the CRF predicts.
"""

import argparse
import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from legalrr.corpora.catalogue import card
from legalrr.corpora.table import Table
from legalrr.errors import UserError
from legalrr.hide import hide
from legalrr.records import Judgment, Segments
from legalrr.segment.crf import CrfSegmenter
from legalrr.segment.verdict_evaluation import Decision, read_decisions, share

DRAWN = ("hidden", "shown")


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Both rates over some sentences that were read."""

    hidden: int = 0
    """Sentences that detection hides."""
    in_vain: int = 0
    """Of these, those that tell nothing."""
    shown: int = 0
    """Sentences drawn by an evaluative phrase that are shown."""
    left: int = 0
    """Of these, those that give the outcome away."""

    def __add__(self, more: "Rates") -> "Rates":
        """Rates over two sets of sentences together."""
        return Rates(
            hidden=self.hidden + more.hidden,
            in_vain=self.in_vain + more.in_vain,
            shown=self.shown + more.shown,
            left=self.left + more.left,
        )


def read_drawn(path: Path) -> dict[Decision, str]:
    """The decisions of a file, each with how it was drawn; raises UserError with file and line."""
    decisions = read_decisions(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, restval="")
        drawn = {decision: row.get("drawn", "") for decision, row in zip(decisions, rows, strict=True)}
    for number, how in enumerate(drawn.values(), start=2):
        if how not in DRAWN:
            raise UserError(f"drawn {how!r}", where=f"{path}:{number}", cure=f"one of {', '.join(DRAWN)}")
    return drawn


def rates(cases: Iterator[tuple[Judgment, Segments]], drawn: Mapping[Decision, str]) -> Rates:
    """Both rates over the decisions about these judgments.

    Args:
        cases: judgments with their roles; those about which nothing was read are passed over.
        drawn: decision -> how it was drawn, all of one corpus.

    Raises:
        UserError: a decision about a judgment that is not there.
    """
    by_id: dict[str, list[Decision]] = {}
    for decision in drawn:
        by_id.setdefault(decision.id, []).append(decision)
    total = Rates()
    for judgment, segments in cases:
        read = by_id.pop(judgment.id, [])
        stretches = hide(judgment, segments, also=frozenset(), verdicts=True) if read else ()
        for d in read:
            reasons = {h.reason for h in stretches if h.start < d.end and h.end > d.start}
            if "verdict" in reasons:
                total += Rates(hidden=1, in_vain=d.decision == "other")
            elif not reasons and drawn[d] == "shown":
                total += Rates(shown=1, left=d.decision == "verdict")
    if by_id:
        raise UserError("no such judgment", where=", ".join(sorted(by_id)[:5]), cure="take the corpus that was read")
    return total


def cases(corpus: str, ids: frozenset[str]) -> Iterator[tuple[Judgment, Segments]]:
    """The judgments of a corpus with these ids, with gold roles or, for a file of texts, predicted by the CRF."""
    if "/" in corpus:
        file = Table(name=corpus, file=f"$LEGALRR_DATA/{corpus}", id_column="doc_id", label_column=None)
        tagger = CrfSegmenter(name="crf", scheme="build", model="$LEGALRR/data/taggers/crf_build.crfsuite")
        for judgment in file.read(None):
            if judgment.id in ids:
                yield judgment, tagger.segment(judgment)
        return
    reader = card(corpus).reader()
    if reader is None:
        raise UserError("its configuration names no path", where=corpus, cure="take one that legalrr data list shows")
    for judgment in reader.read(reader.split):
        if judgment.id in ids and judgment.spans is not None and judgment.scheme is not None:
            yield judgment, Segments(id=judgment.id, scheme=judgment.scheme, spans=judgment.spans)


def rates_of(drawn: Mapping[Decision, str]) -> dict[str, Rates]:
    """Rates by corpus, for all decisions of a file."""
    found: dict[str, Rates] = {}
    for corpus in sorted({d.corpus for d in drawn}):
        own = {d: how for d, how in drawn.items() if d.corpus == corpus}
        found[corpus] = rates(cases(corpus, frozenset(d.id for d in own)), own)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both rates per corpus, each with its interval."""
    parser = argparse.ArgumentParser(description="What the detection of verdicts hides in vain, and what it leaves.")
    parser.add_argument("decisions", type=Path, help="CSV file: corpus, id, start, end, decision, drawn")
    try:
        found = rates_of(read_drawn(parser.parse_args(arguments).decisions))
        found["all"] = sum(found.values(), Rates())
        print(f"{'':<22}{'hidden in vain':<36}left")
        for corpus, r in found.items():
            print(f"{corpus:<22}{share(r.in_vain, r.hidden):<36}{share(r.left, r.shown)}")
    except UserError as error:
        print(f"hiding_rates: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
