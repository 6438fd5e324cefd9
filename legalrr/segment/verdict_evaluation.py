"""How many verdicts outside the ruling are hidden, and how much else, against sentences that were read by hand.

    python -m legalrr.segment.verdict_evaluation tests/segment/verdicts.csv

A line of the file is a stretch of a judgment (corpus, id, offsets) and its decision. `verdict`: it states the fate of
the present matter, or leaves only one. `view`: the court's view of a point, from which the fate may be guessed; it is
neither to be found nor counted when hidden. What is in no line counts as no verdict.

Read were the sentences that a broad list of operative words, a classifier of rulings or the detector itself brought up,
so a verdict in words that none of them knows is missing: of nine judgments read whole, 3 verdicts of 17 were, all of
them where the court reasons. The cues were written with these judgments at hand; of others they find fewer.
"""

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from legalrr.corpora.catalogue import card
from legalrr.errors import UserError
from legalrr.hide import pieces
from legalrr.records import Judgment, Segments
from legalrr.roles import scheme
from legalrr.segment.closing_line import closing_line
from legalrr.segment.headnote import headnote
from legalrr.segment.sentences import split
from legalrr.segment.verdict_cues import VerdictDetector

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Print recall and the share of other sentences hidden, per corpus, each with its interval."""
    parser = argparse.ArgumentParser(description="How well verdicts outside the ruling are found.")
    parser.add_argument("decisions", type=Path, help="CSV file: " + ", ".join(COLUMNS))
    try:
        decisions = read_decisions(parser.parse_args(arguments).decisions)
        counts = {corpus: _corpus(corpus, decisions) for corpus in sorted({d.corpus for d in decisions})}
        counts["all"] = {group: sum((c[group] for c in counts.values()), Count()) for group in (SHOWN, ALL)}
        print(f"{'':<31}{'verdicts found':<36}others hidden")
        for corpus, groups in counts.items():
            for group, c in groups.items():
                print(f"{corpus:<9}{group:<22}{share(c.found, c.verdicts):<36}{share(c.hidden, c.others)}")
    except UserError as error:
        print(f"verdict_evaluation: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
