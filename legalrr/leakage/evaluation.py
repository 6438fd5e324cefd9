"""Evaluate the detection of verdicts and views against sentences annotated by hand.

    python -m legalrr.leakage.evaluation verdicts tests/leakage/verdicts.csv
    python -m legalrr.leakage.evaluation rates tests/leakage/views.csv

A row of either file is a span of a judgment (corpus, id, offsets) and its decision: `verdict`, it states or implies the
outcome of the present matter; `view`, it is the court's view of a point, from which the outcome may be guessed;
`other`, it reveals nothing.

`verdicts` prints the recall of verdicts outside the ruling, and the fraction of other sentences that are hidden. A span
that no row covers is not a verdict; views count neither as found nor as hidden. The annotated sentences were selected
by a broad list of operative words, a classifier of rulings, or the detector itself, so a verdict in words that none of
them knows is missing: in nine judgments read completely, 3 of 17 verdicts were missing, all in the court's reasoning.
The cues were developed on these judgments; on others they find fewer verdicts.

`rates` prints two error rates together. The column `drawn` states how a sentence was sampled: `hidden` by detection, or
`shown` with an evaluative phrase in it ("was wrong", "we think", "no force").

hidden in vain    false discovery rate: fraction of the hidden sentences that reveal nothing
left              miss rate: fraction of the visible sentences sampled by phrase that reveal the outcome

A corpus is a name that `legalrr data list` shows, with its gold roles, or a file of texts under LEGALRR_DATA with
`doc_id` and `text`, whose roles the CRF predicts.
"""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Self

from legalrr.corpora.catalogue import card
from legalrr.corpora.table import Table
from legalrr.errors import UserError, file_errors
from legalrr.hiding.headnote import find_closing_line, find_headnote
from legalrr.hiding.hide import hide, pieces
from legalrr.hiding.verdict_cues import VerdictDetector
from legalrr.records import Judgment, Segments
from legalrr.roles import scheme
from legalrr.score.intervals import wilson
from legalrr.segment.crf import CrfSegmenter
from legalrr.sentences import split

COLUMNS = ("corpus", "id", "start", "end", "decision")
DECISIONS = ("verdict", "view", "other")
SAMPLES = ("hidden", "shown")
RULING = "RPC"
SHOWN_ROLES = "roles that are shown"
ALL_ROLES = "roles but the ruling"
MIN_COVERAGE = 0.9
"""Minimum hidden fraction of a verdict that counts as found; splitters differ by a bracket or a number."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An annotated span of a judgment."""

    corpus: str
    """Name of the corpus."""
    id: str
    """The judgment's id."""
    start: int
    """Offset of the first character."""
    end: int
    """Offset one past the last."""
    decision: str
    """verdict, view or other."""


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """Base of dataclasses of counts that can be added."""

    def __add__(self, other: Self) -> Self:
        """Add two counts field by field."""
        return replace(self, **{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)})


@dataclass(frozen=True, kw_only=True)
class VerdictCounts(_Counts):
    """Counts of verdicts found and of other sentences hidden."""

    verdicts: int = 0
    """Number of verdicts."""
    found: int = 0
    """Number of verdicts that are hidden."""
    others: int = 0
    """Number of sentences that are neither verdict nor view."""
    hidden: int = 0
    """Number of these that are hidden."""


def read_decisions(path: Path) -> list[Decision]:
    """Read the decisions of a CSV file.

    Raises:
        UserError: an unreadable file, or a bad row, with file and line.
    """
    with file_errors(path, doing="cannot read the decisions"), path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, restval="")
        if not set(COLUMNS) <= set(rows.fieldnames or ()):
            raise UserError("missing column", where=f"{path}:1", cure=f"it needs {', '.join(COLUMNS)}")
        return [_decision(row, f"{path}:{rows.line_num}") for row in rows]


def _decision(row: Mapping[str, str], where: str) -> Decision:
    try:
        start, end = int(row["start"]), int(row["end"])
    except ValueError as error:
        raise UserError(
            "an offset is not a number", where=where, cure="give character offsets from the start"
        ) from error
    if not 0 <= start < end or row["decision"] not in DECISIONS:
        raise UserError("invalid span or decision", where=where, cure=f"start < end; {', '.join(DECISIONS)}")
    return Decision(corpus=row["corpus"], id=row["id"], start=start, end=end, decision=row["decision"])


def evaluate(judgments: Iterable[Judgment], decisions: Sequence[Decision]) -> dict[str, VerdictCounts]:
    """Count verdicts found and other sentences hidden, in `SHOWN_ROLES` and in `ALL_ROLES`.

    Args:
        judgments: judgments of one corpus; those without gold roles are skipped.
        decisions: decisions on that corpus.

    Raises:
        UserError: a decision on an unknown judgment or an offset beyond its text.
    """
    by_id = {id: list(group) for id, group in groupby(sorted(decisions, key=lambda d: d.id), key=lambda d: d.id)}
    total = {SHOWN_ROLES: VerdictCounts(), ALL_ROLES: VerdictCounts()}
    for judgment in judgments:
        if judgment.spans is None or judgment.scheme is None:
            continue
        decided = by_id.pop(judgment.id, [])
        beyond = [d for d in decided if d.end > len(judgment.text)]
        if beyond:
            raise UserError(
                f"offset {beyond[0].end} is beyond the text", where=judgment.id, cure="use the annotated corpus"
            )
        for shown, count in _count_sentences(judgment, decided):
            total[ALL_ROLES] += count
            if shown:
                total[SHOWN_ROLES] += count
    _check_known(by_id)
    return total


def _check_known(by_id: Mapping[str, object]) -> None:
    if by_id:
        raise UserError("unknown judgment", where=", ".join(sorted(by_id)[:5]), cure="use the annotated corpus")


def _count_sentences(judgment: Judgment, decided: Sequence[Decision]) -> Iterator[tuple[bool, VerdictCounts]]:
    """Yield, for each verdict and each other sentence, whether its role is shown, and its count."""
    assert judgment.spans is not None
    assert judgment.scheme is not None
    decisive = scheme(judgment.scheme, where=judgment.id).decisive
    closing = find_closing_line(judgment.text) or (0, 0)
    note = find_headnote(judgment.text) or (0, 0)
    detector = VerdictDetector(judgment.text)
    uncovered = {d: d.end - d.start for d in decided if d.decision == "verdict"}
    roles: dict[Decision, str] = {}
    segments = Segments(id=judgment.id, scheme=judgment.scheme, spans=judgment.spans)
    for begin, stop, role in pieces(judgment.text, segments):
        if role in ("", RULING):
            continue
        for a, b in split(judgment.text[begin:stop]):
            start, end = begin + a, begin + b
            by_place = any(start < place[1] and end > place[0] for place in (closing, note))
            hidden = by_place or detector.detects(start, end, role)
            shared = {d: n for d in decided if (n := min(end, d.end) - max(start, d.start)) > 0}
            for d in uncovered.keys() & shared.keys():
                roles.setdefault(d, role)
                uncovered[d] -= shared[d] if hidden else 0
            is_verdict_or_view = 2 * sum(n for d, n in shared.items() if d.decision != "other") >= end - start
            if not is_verdict_or_view and not (note[0] <= start < note[1]):
                yield role not in decisive, VerdictCounts(others=1, hidden=hidden)
    for d, rest in uncovered.items():
        found = rest <= (1 - MIN_COVERAGE) * (d.end - d.start)
        yield roles.get(d, "") not in decisive, VerdictCounts(verdicts=1, found=found)


def format_share(part: int, whole: int) -> str:
    """Format a proportion with its 95 % Wilson interval; without an interval if `whole` is 0."""
    if whole == 0:
        return f"{part}/{whole}"
    low, high = wilson(part, whole, confidence=0.95)
    return f"{part}/{whole} = {part / whole:.3f} [{low:.3f}, {high:.3f}]"


def _judgments(corpus: str) -> Iterator[Judgment]:
    reader = card(corpus).reader()
    if reader is None:
        raise UserError("the configuration has no path", where=corpus, cure="use a corpus that legalrr data list shows")
    return iter(reader.read(reader.split))


@dataclass(frozen=True, kw_only=True)
class DetectionRates(_Counts):
    """Counts for both error rates on annotated sentences."""

    hidden: int = 0
    """Number of sentences that detection hides."""
    false_positives: int = 0
    """Number of these that reveal nothing."""
    shown: int = 0
    """Number of visible sentences sampled by an evaluative phrase."""
    missed: int = 0
    """Number of these that reveal the outcome."""


def read_sample(path: Path) -> dict[Decision, str]:
    """Read the decisions of a CSV file, each with its sample.

    Raises:
        UserError: an unreadable file, or a bad row, with file and line.
    """
    decisions = read_decisions(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, restval="")
        samples = {decision: row.get("drawn", "") for decision, row in zip(decisions, rows, strict=True)}
    for number, sample in enumerate(samples.values(), start=2):
        if sample not in SAMPLES:
            raise UserError(
                f"unknown value of drawn: {sample!r}", where=f"{path}:{number}", cure=f"one of {', '.join(SAMPLES)}"
            )
    return samples


def count_rates(cases: Iterator[tuple[Judgment, Segments]], samples: Mapping[Decision, str]) -> DetectionRates:
    """Count errors of detection on the decisions of one corpus.

    Args:
        cases: judgments with their roles; those without decisions are skipped.
        samples: decision -> its sample.

    Raises:
        UserError: a decision on an unknown judgment.
    """
    by_id: dict[str, list[Decision]] = {}
    for decision in samples:
        by_id.setdefault(decision.id, []).append(decision)
    total = DetectionRates()
    for judgment, segments in cases:
        decided = by_id.pop(judgment.id, [])
        hidden = hide(judgment, segments, also=frozenset(), verdicts=True) if decided else ()
        for d in decided:
            reasons = {h.reason for h in hidden if h.start < d.end and h.end > d.start}
            if "verdict" in reasons:
                total += DetectionRates(hidden=1, false_positives=d.decision == "other")
            elif not reasons and samples[d] == "shown":
                total += DetectionRates(shown=1, missed=d.decision == "verdict")
    _check_known(by_id)
    return total


def load_cases(corpus: str, ids: frozenset[str]) -> Iterator[tuple[Judgment, Segments]]:
    """Read the judgments with these ids, with gold roles or, for a file of texts, roles predicted by the CRF."""
    if "/" in corpus:
        file = Table(name=corpus, file=f"$LEGALRR_DATA/{corpus}", id_column="doc_id", label_column=None)
        tagger = CrfSegmenter(name="crf", scheme="build", model="$LEGALRR/data/taggers/crf_build.crfsuite")
        for judgment in file.read(None):
            if judgment.id in ids:
                yield judgment, tagger.segment(judgment)
        return
    for judgment in _judgments(corpus):
        if judgment.id in ids and judgment.spans is not None and judgment.scheme is not None:
            yield judgment, Segments(id=judgment.id, scheme=judgment.scheme, spans=judgment.spans)


def rates_by_corpus(samples: Mapping[Decision, str]) -> dict[str, DetectionRates]:
    """Count errors per corpus, for all decisions of a file."""
    found: dict[str, DetectionRates] = {}
    for corpus in sorted({d.corpus for d in samples}):
        own = {d: sample for d, sample in samples.items() if d.corpus == corpus}
        found[corpus] = count_rates(load_cases(corpus, frozenset(d.id for d in own)), own)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print recall and other sentences hidden, or both error rates, per corpus with intervals."""
    parser = argparse.ArgumentParser(
        prog="python -m legalrr.leakage.evaluation", description="Evaluate the hiding of verdicts."
    )
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    verdicts = commands.add_parser("verdicts", help="recall of verdicts outside the ruling, and other sentences hidden")
    verdicts.add_argument("decisions", type=Path, help="CSV file: " + ", ".join(COLUMNS))
    rates = commands.add_parser("rates", help="false discovery rate and miss rate of detection")
    rates.add_argument("decisions", type=Path, help="CSV file: corpus, id, start, end, decision, drawn")
    options = parser.parse_args(arguments)
    try:
        (_print_verdicts if options.command == "verdicts" else _print_rates)(options.decisions)
    except UserError as error:
        print(f"evaluation: {error}", file=sys.stderr)
        sys.exit(2)


def _print_verdicts(file: Path) -> None:
    decisions = read_decisions(file)
    counts = {
        corpus: evaluate(_judgments(corpus), [d for d in decisions if d.corpus == corpus])
        for corpus in sorted({d.corpus for d in decisions})
    }
    counts["all"] = {
        group: sum((c[group] for c in counts.values()), VerdictCounts()) for group in (SHOWN_ROLES, ALL_ROLES)
    }
    print(f"{'':<31}{'verdicts found':<36}others hidden")
    for corpus, groups in counts.items():
        for group, c in groups.items():
            print(f"{corpus:<9}{group:<22}{format_share(c.found, c.verdicts):<36}{format_share(c.hidden, c.others)}")


def _print_rates(file: Path) -> None:
    found = rates_by_corpus(read_sample(file))
    found["all"] = sum(found.values(), DetectionRates())
    print(f"{'':<22}{'hidden in vain':<36}left")
    for corpus, r in found.items():
        print(f"{corpus:<22}{format_share(r.false_positives, r.hidden):<36}{format_share(r.missed, r.shown)}")


if __name__ == "__main__":
    main()
