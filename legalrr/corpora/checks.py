"""Parse and validate labels, parties, splits and judgments for all corpus readers.

Invalid input raises UserError with file and line, row or id. Nothing is repaired or skipped silently.
"""

import logging
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from legalrr.corpora.bounded_files import LONGEST_TEXT
from legalrr.corpora.files import check_plain_text, describe_doubt, read_csv_rows, require_path
from legalrr.errors import UserError
from legalrr.records import OUTCOMES, PARTIES, Judgment, Outcome, Party, Span, replace_surrogates
from legalrr.roles import scheme

_DECIMALS = re.compile(r"[+-]?[0-9]+\.0*")
LOG = logging.getLogger(__name__)
ENGLISH_ONLY = "roles, verdicts and parties are found in English text only, so nothing of it may be hidden"
ZERO_ONE: Mapping[str, Outcome] = {"0": "dismissed", "1": "allowed"}
CONFIDENCES = ("high", "medium", "low")
FACT_NAMES = ("id", "outcome", "confidence", "party", "petitioner", "court", "year", "kind", "group", "split", "scheme")
"""Fields of a judgment that are exported beside its text and spans. PDF pages are not exported."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """One label of a label file."""

    outcome: Outcome | None
    """Outcome; None for a blank label."""
    confidence: str | None
    """high, medium or low; None if not given."""


def parse_outcome(value: object, *, where: str, labels: Mapping[str, str] | None = None) -> Outcome | None:
    """Parse a published label; return None for a blank one.

    Args:
        value: 0 or 1 as a number or text, or a key of `labels`. Whole numbers may have decimals: tables with blanks
            turn 1 into 1.0.
        where: file and line, for messages.
        labels: published label -> "allowed" or "dismissed"; {}: 1 is allowed, 0 is dismissed, and the message names the
            option of the corpus; None: the same, for files whose labels cannot be named.

    Raises:
        UserError: unknown label.
    """
    if is_blank(value) or str(value).strip() == "":
        return None
    known = {whole_number(label): outcome for label, outcome in (labels or ZERO_ONE).items()}
    key = whole_number(value)
    if key not in known:
        cure = "write 1 for allowed and 0 for dismissed"
        if labels is not None:
            cure = (
                f"say what each label means, as in 'corpus.labels={{{_label_example(key)}: allowed, ...}}'; "
                "in `legalrr data check`: --labels-map"
            )
        raise UserError(f"label {key!r} is none of {', '.join(known)}", where=where, cure=cure)
    return cast(Outcome, known[key])


def is_blank(value: object) -> bool:
    """Whether a cell of a table is empty: None, "", or the NaN of tables that pandas wrote; not the word "nan"."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def whole_number(value: object) -> str:
    """Return a label or year as text, whole numbers without decimals, true and false in lower case."""
    text = str(value).strip()
    if text.lower() in ("true", "false"):
        return text.lower()
    return text.partition(".")[0] if _DECIMALS.fullmatch(text) else text


def _label_example(key: str) -> str:
    """Return a label as Hydra takes it for a key: its signs of syntax escaped."""
    return re.sub(r"([\\,:={}\[\]()'\"])", r"\\\1", key)


def check_labels(labels: Mapping[str, str], *, where: str) -> None:
    """Raise UserError if a label maps to anything but allowed or dismissed."""
    for label, outcome in labels.items():
        if outcome not in OUTCOMES:
            raise UserError(f"label {label!r} cannot mean {outcome!r}", where=where, cure="write allowed or dismissed")


def read_labels(path: Path, id_column: str) -> dict[str, Label]:
    """Read labels by id from a CSV with the columns `id_column`, label and, optionally, confidence."""
    found: dict[str, Label] = {}
    for where, row in read_csv_rows(path, (id_column, "label")):
        key = row[id_column]
        if key in found:
            raise UserError(f"duplicate id {key!r}", where=where, cure="one row per judgment")
        found[key] = parse_label(row, where=where)
    return found


def parse_label(row: Mapping[str, str], *, where: str) -> Label:
    """Parse a row with the columns label and, optionally, confidence."""
    confidence = row.get("confidence") or None
    if confidence not in (None, *CONFIDENCES):
        raise UserError(f"confidence {confidence!r}", where=where, cure=f"one of {', '.join(CONFIDENCES)}, or blank")
    return Label(outcome=parse_outcome(row["label"], where=where), confidence=confidence)


def load_labels(path: str | None, id_column: str, ids: Iterable[str]) -> dict[str, Label]:
    """Read the labels of the judgments `ids`; {} without a path.

    Raises:
        UserError: the file has a label for none of `ids`, or is invalid.
    """
    if path is None:
        return {}
    file = require_path(path)
    labels = read_labels(file, id_column)
    if labels and labels.keys().isdisjoint(ids):
        raise UserError(
            f"no {id_column} of this file is the id of a judgment of the corpus (the first is {next(iter(labels))!r})",
            where=str(file),
            cure="the id of a judgment is the name of its file without the suffix",
        )
    return labels


def parse_party(value: object, *, where: str) -> Party | None:
    """Parse the party that an outcome refers to; return None for a blank, raise UserError for an unknown party."""
    if value is None or value == "":
        return None
    if value not in PARTIES:
        raise UserError(f"unknown party {value!r}", where=where, cure=f"one of {', '.join(PARTIES)}, or blank")
    return cast(Party, value)


def select_splits(split: str | None, available: Iterable[str], *, corpus: str) -> list[str]:
    """Return [split], or all available splits for None; raise UserError for an unknown split."""
    known = list(available)
    if split is None:
        return known
    if split not in known:
        has = f"it has {', '.join(known)}" if known else "it has none: leave split: null"
        raise UserError(f"no split {split!r}", where=f"corpus {corpus}", cure=has)
    return [split]


def judgment_to_facts(judgment: Judgment) -> dict[str, Any]:
    """Return the fields `FACT_NAMES` of a judgment as JSON values; `judgment_from_facts` is the inverse."""
    return {name: getattr(judgment, name) for name in FACT_NAMES}


def judgment_from_facts(
    facts: Mapping[str, Any],
    *,
    text: object,
    spans: Iterable[Sequence[Any]] | None,
    where: str,
    scheme_name: str | None = None,
) -> Judgment:
    """Build a judgment from facts as `judgment_to_facts` returns them; missing facts are None.

    Args:
        facts: the facts; other keys are ignored.
        text: text of the judgment.
        spans: gold spans as (start, end, role, score); None: not annotated.
        where: file and row, for messages and as the judgment's source.
        scheme_name: scheme of the roles; None: the scheme of the facts.

    Raises:
        UserError: a fact or a span has a wrong type or an unknown value, or the facts have another scheme.
    """
    if not isinstance(text, str):
        raise UserError(f"the text is {type(text).__name__}", where=where, cure="write a string")
    for name in FACT_NAMES:
        wanted: type = int if name == "year" else str
        value = facts.get(name)
        if value is not None and type(value) is not wanted:
            raise UserError(f"{name} is {value!r}", where=where, cure=f"write {wanted.__name__} or null")
    for name, known in (("outcome", OUTCOMES), ("confidence", CONFIDENCES)):
        if facts.get(name) not in (None, *known):
            raise UserError(f"{name} {facts[name]!r}", where=where, cure=f"one of {', '.join(known)}, or null")
    named = facts.get("scheme")
    if scheme_name and named and named != scheme_name:
        raise UserError(f"roles of the scheme {named!r}", where=where, cure=f"set scheme: {named}")
    chosen = scheme_name or named
    if spans is not None and chosen is None:
        raise UserError("roles without a scheme", where=where, cure="set scheme: build or seven")
    found = None if spans is None else _parse_spans(spans, str(chosen), where)
    kept: dict[str, Any] = {name: facts.get(name) for name in FACT_NAMES if name not in ("id", "party", "scheme")}
    return Judgment(
        **kept,
        id=facts.get("id") or "",
        party=parse_party(facts.get("party"), where=where),
        scheme=None if found is None else chosen,
        text=text,
        source=where,
        spans=found,
    )


def _parse_spans(spans: Iterable[Sequence[Any]], scheme_name: str, where: str) -> tuple[Span, ...]:
    roles = scheme(scheme_name, where=where)
    found = []
    for number, (start, end, role, score) in enumerate(spans):
        place = f"{where}, span {number}"
        if type(start) is not int or type(end) is not int:
            raise UserError(f"offsets {start!r} and {end!r}", where=place, cure="offsets are whole numbers")
        if type(role) is not str:
            raise UserError(f"role {role!r}", where=place, cure="a role is a string")
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise UserError(f"score {score!r}", where=place, cure="a score is a number from 0 to 1")
        found.append(Span(start=start, end=end, role=roles.code(role, where=place), score=float(score)))
    return tuple(sorted(found, key=lambda span: (span.start, span.end)))


def strip_span(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the offsets of text[start:end] without leading and trailing white space."""
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), start + len(inner.rstrip())


def validate_judgments(judgments: Iterable[Judgment]) -> Iterator[Judgment]:
    """Yield the judgments unchanged, checking each; at the end, log how many do not seem to be in English.

    Raises:
        UserError: an id is empty or a duplicate, a text is empty, cannot be encoded or is not plain text, a gold span
            is out of range, overlaps another or has a role that is not in the scheme.
    """
    seen: set[str] = set()
    doubtful: list[str] = []
    first = ""
    try:
        for judgment in judgments:
            where = _check_facts(judgment, seen)
            seen.add(judgment.id)
            _check_text(judgment.text, where)
            if doubt := describe_doubt(judgment.text):
                first = first or f"{where}: {doubt}"
                doubtful.append(judgment.id)
            if judgment.spans is not None:
                _check_spans(judgment.spans, judgment, where)
            yield judgment
    finally:
        # Also if the judgments after a limit are not read.
        if doubtful:
            LOG.warning(
                "%s; %s. Judgments not in English: %d of %d (%s)",
                first,
                ENGLISH_ONLY,
                len(doubtful),
                len(seen),
                name_some(doubtful),
            )


def name_some(ids: Sequence[str]) -> str:
    """Return the first five ids, and how many there are beyond."""
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")


def _check_facts(judgment: Judgment, seen: Collection[str]) -> str:
    """Check the id and the other facts; return the place of the judgment for messages."""
    if not judgment.id.strip():
        raise UserError("empty id", where=judgment.source, cure="every judgment of a corpus needs its own id")
    if judgment.id in seen:
        raise UserError(
            f"duplicate id {judgment.id!r}", where=judgment.source, cure="every judgment of a corpus needs its own id"
        )
    for name in FACT_NAMES:
        value = getattr(judgment, name)
        if isinstance(value, str) and replace_surrogates(value) != value:
            raise UserError(f"unpaired surrogate in {name}", where=judgment.source, cure="correct the file")
    return f"{judgment.source}, judgment {judgment.id}"


def _check_text(text: str, where: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise UserError(
            f"{len(text)} characters, more than {LONGEST_TEXT}",
            where=where,
            cure="leave it out, or shorten it; the bound is legalrr.corpora.bounded_files.LONGEST_TEXT",
        )
    if not text.strip():
        raise UserError("empty judgment", where=where, cure="leave it out, or give its text")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"unpaired surrogate at character {error.start}", where=where, cure="correct the text"
        ) from error
    check_plain_text(text, where=where)


def _check_spans(spans: Sequence[Span], judgment: Judgment, where: str) -> None:
    if judgment.scheme is None:
        raise UserError("gold roles without a scheme", where=where, cure="name the scheme of the roles")
    known, length, last = scheme(judgment.scheme, where=where), len(judgment.text), 0
    for span in spans:
        place = f"{span.role} span [{span.start}, {span.end})"
        if not 0 <= span.start < span.end <= length:
            raise UserError(f"{place} is out of range: the text has {length} characters", where=where)
        if span.start < last:
            raise UserError(f"{place} overlaps the span before it, which ends at {last}", where=where)
        if span.role not in known:
            raise UserError(f"unknown role {span.role!r}", where=where, cure=f"the scheme is {known.name!r}")
        last = span.end
