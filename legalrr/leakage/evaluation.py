"""Evaluate what is hidden against sentences that were read by hand.

    python -m legalrr.leakage.evaluation verdicts tests/leakage/verdicts.csv
    python -m legalrr.leakage.evaluation rates tests/leakage/views.csv

How many verdicts outside the ruling are hidden, and how much else, against sentences that were read by hand.

    python -m legalrr.leakage.evaluation tests/leakage/verdicts.csv

A line of the file is a stretch of a judgment (corpus, id, offsets) and its decision. `verdict`: it states the fate of
the present matter, or leaves only one. `view`: the court's view of a point, from which the fate may be guessed; it is
neither to be found nor counted when hidden. What is in no line counts as no verdict.

Read were the sentences that a broad list of operative words, a classifier of rulings or the detector itself brought up,
so a verdict in words that none of them knows is missing: of nine judgments read whole, 3 verdicts of 17 were, all of
them where the court reasons. The cues were written with these judgments at hand; of others they find fewer.

What the detection of verdicts and views hides in vain, and what it leaves: two rates, always together.

    python -m legalrr.leakage.evaluation tests/leakage/views.csv

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from legalrr.corpora.catalogue import card
from legalrr.corpora.table import Table
from legalrr.errors import UserError
from legalrr.hiding.headnote import closing_line, headnote
from legalrr.hiding.hide import hide, pieces
from legalrr.hiding.verdict_cues import VerdictDetector
from legalrr.records import Judgment, Segments
from legalrr.roles import scheme
from legalrr.segment.crf import CrfSegmenter
from legalrr.sentences import split

COLUMNS = ("corpus", "id", "start", "end", "decision")
DECISIONS = ("verdict", "view", "other")
RULING = "RPC"
SHOWN = "roles that are shown"
ALL = "roles but the ruling"
MOST = 0.9
"""Share of a stretch that must be hidden for it to count as found: splitters differ by a bracket or a number."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A stretch of a judgment that was read."""

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
class Count:
    """What was found and what was hidden beside it."""

    verdicts: int = 0
    """Verdicts there are."""
    found: int = 0
    """Verdicts that are hidden."""
    others: int = 0
    """Sentences that are neither verdict nor view."""
    hidden: int = 0
    """Of these, how many are hidden."""

    def __add__(self, more: "Count") -> "Count":
        """Counts of two sets of judgments together."""
        return Count(
            verdicts=self.verdicts + more.verdicts,
            found=self.found + more.found,
            others=self.others + more.others,
            hidden=self.hidden + more.hidden,
        )


def read_decisions(path: Path) -> list[Decision]:
    """The decisions of a file; raises UserError with file and line."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, restval="")
            if not set(COLUMNS) <= set(rows.fieldnames or ()):
                raise UserError("a column is missing", where=f"{path}:1", cure=f"it needs {', '.join(COLUMNS)}")
            return [_decision(row, f"{path}:{rows.line_num}") for row in rows]
    except OSError as error:
        raise UserError("cannot read the decisions", where=str(path), cure="give a CSV file") from error


def _decision(row: Mapping[str, str], where: str) -> Decision:
    try:
        start, end = int(row["start"]), int(row["end"])
    except ValueError as error:
        raise UserError("an offset is no number", where=where, cure="give characters from the beginning") from error
    if not 0 <= start < end or row["decision"] not in DECISIONS:
        raise UserError("no stretch or no decision", where=where, cure=f"start < end; {', '.join(DECISIONS)}")
    return Decision(corpus=row["corpus"], id=row["id"], start=start, end=end, decision=row["decision"])


def evaluate(judgments: Iterable[Judgment], decisions: Sequence[Decision]) -> dict[str, Count]:
    """Counts over judgments with gold roles, for `SHOWN` roles and for `ALL` roles but the ruling.

    Args:
        judgments: judgments of one corpus; those without gold roles are passed over.
        decisions: what was read of that corpus.

    Raises:
        UserError: a decision is about a judgment or a place that is not there.
    """
    read = {id: list(of) for id, of in groupby(sorted(decisions, key=lambda d: d.id), key=lambda d: d.id)}
    total = {SHOWN: Count(), ALL: Count()}
    for judgment in judgments:
        if judgment.spans is None or judgment.scheme is None:
            continue
        decided = read.pop(judgment.id, [])
        beyond = [d for d in decided if d.end > len(judgment.text)]
        if beyond:
            raise UserError(f"offset {beyond[0].end} is beyond the text", where=judgment.id, cure="see the corpus")
        for shown, count in _counts(judgment, decided):
            total[ALL] += count
            if shown:
                total[SHOWN] += count
    if read:
        raise UserError("no such judgment", where=", ".join(sorted(read)[:5]), cure="take the corpus that was read")
    return total


def _counts(judgment: Judgment, decided: Sequence[Decision]) -> Iterator[tuple[bool, Count]]:
    """For each verdict and each other sentence, whether its role is shown, and its count."""
    assert judgment.spans is not None
    assert judgment.scheme is not None
    decisive = scheme(judgment.scheme, where=judgment.id).decisive
    closing = closing_line(judgment.text) or (0, 0)
    reporters = headnote(judgment.text) or (0, 0)
    detector = VerdictDetector(judgment.text)
    left = {d: d.end - d.start for d in decided if d.decision == "verdict"}
    roles: dict[Decision, str] = {}
    segments = Segments(id=judgment.id, scheme=judgment.scheme, spans=judgment.spans)
    for begin, stop, role in pieces(judgment.text, segments):
        if role in ("", RULING):
            continue
        for a, b in split(judgment.text[begin:stop]):
            start, end = begin + a, begin + b
            by_place = any(start < stretch[1] and end > stretch[0] for stretch in (closing, reporters))
            hidden = by_place or detector.tells(start, end, role)
            shared = {d: n for d in decided if (n := min(end, d.end) - max(start, d.start)) > 0}
            for d in left.keys() & shared.keys():
                roles.setdefault(d, role)
                left[d] -= shared[d] if hidden else 0
            read = 2 * sum(n for d, n in shared.items() if d.decision != "other") >= end - start
            if not read and not (reporters[0] <= start < reporters[1]):
                yield role not in decisive, Count(others=1, hidden=hidden)
    for d, rest in left.items():
        found = rest <= (1 - MOST) * (d.end - d.start)
        yield roles.get(d, "") not in decisive, Count(verdicts=1, found=found)


def interval(part: int, whole: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; (0, 1) of nothing."""
    from scipy.stats import binomtest

    if whole == 0:
        return 0.0, 1.0
    found = binomtest(part, whole).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def share(part: int, whole: int) -> str:
    """A share with its interval, for the table."""
    if whole == 0:
        return f"{part}/{whole}"
    low, high = interval(part, whole)
    return f"{part}/{whole} = {part / whole:.3f} [{low:.3f}, {high:.3f}]"


def _corpus(name: str, decisions: Sequence[Decision]) -> dict[str, Count]:
    reader = card(name).reader()
    if reader is None:
        raise UserError(
            "its configuration names no path", where=name, cure="take a corpus that legalrr data list shows"
        )
    return evaluate(reader.read(reader.split), [d for d in decisions if d.corpus == name])


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
    """Print recall and the share of other sentences hidden, or both rates, per corpus, each with its interval."""
    parser = argparse.ArgumentParser(prog="python -m legalrr.leakage.evaluation", description="How well hiding works.")
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    verdicts = commands.add_parser("verdicts", help="how many verdicts outside the ruling are found, and how much else")
    verdicts.add_argument("decisions", type=Path, help="CSV file: " + ", ".join(COLUMNS))
    drawn = commands.add_parser("rates", help="what is hidden in vain, and what is left")
    drawn.add_argument("decisions", type=Path, help="CSV file: corpus, id, start, end, decision, drawn")
    options = parser.parse_args(arguments)
    try:
        (_print_verdicts if options.command == "verdicts" else _print_rates)(options.decisions)
    except UserError as error:
        print(f"evaluation: {error}", file=sys.stderr)
        sys.exit(2)


def _print_verdicts(file: Path) -> None:
    decisions = read_decisions(file)
    counts = {corpus: _corpus(corpus, decisions) for corpus in sorted({d.corpus for d in decisions})}
    counts["all"] = {group: sum((c[group] for c in counts.values()), Count()) for group in (SHOWN, ALL)}
    print(f"{'':<31}{'verdicts found':<36}others hidden")
    for corpus, groups in counts.items():
        for group, c in groups.items():
            print(f"{corpus:<9}{group:<22}{share(c.found, c.verdicts):<36}{share(c.hidden, c.others)}")


def _print_rates(file: Path) -> None:
    found = rates_of(read_drawn(file))
    found["all"] = sum(found.values(), Rates())
    print(f"{'':<22}{'hidden in vain':<36}left")
    for corpus, r in found.items():
        print(f"{corpus:<22}{share(r.in_vain, r.hidden):<36}{share(r.left, r.shown)}")


if __name__ == "__main__":
    main()
