"""Judgments as a tagger learns them: sentences with their gold roles."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from legalrr.errors import UserError
from legalrr.records import Judgment
from legalrr.segment.sentences import split

NEAR_DUPLICATE = 0.1
"""Two judgments that share this part of the runs of words of the shorter one tell of the same matter. In BUILD, lawai50
and marro 21 pairs share more than 0.1 and most of the others, quotations of the same statute apart, next to nothing."""
RUN = 8
"""Words of a run; shorter ones ("learned counsel for the appellant") are shared by unrelated judgments."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One judgment for training or evaluation."""

    id: str
    """The judgment's id."""
    scheme: str
    """Name of the role scheme."""
    sentences: tuple[str, ...]
    """Its sentences, in order."""
    roles: tuple[str, ...]
    """The gold role of each."""


def labelled(judgments: Iterable[Judgment], *, split_spans: bool = False) -> list[Labelled]:
    """Judgments with gold spans as sentences with roles; those without are left out, and of equal texts all but one.

    Args:
        judgments: judgments of one scheme.
        split_spans: whether a gold span may hold several sentences (as the specimen's do); by default each is one.

    Raises:
        UserError: no judgment has gold roles, or two schemes are mixed.
    """
    found: dict[str, Labelled] = {}
    for judgment in judgments:
        if judgment.spans is None or judgment.scheme is None:
            continue
        pairs = [
            (judgment.text[span.start + start : span.start + end], span.role)
            for span in judgment.spans
            for start, end in (
                split(judgment.text[span.start : span.end]) if split_spans else [(0, span.end - span.start)]
            )
        ]
        sentences, roles = zip(*pairs, strict=True)
        document = Labelled(id=judgment.id, scheme=judgment.scheme, sentences=sentences, roles=roles)
        found.setdefault(" ".join(judgment.text.split()), document)
    documents = list(found.values())
    schemes = sorted({document.scheme for document in documents})
    if len(schemes) != 1:
        what = f"mixes the schemes {' and '.join(schemes)}" if schemes else "no judgment has gold roles"
        raise UserError(what, cure="a tagger learns from annotated judgments of one scheme")
    return documents


def groups(documents: Sequence[Labelled]) -> list[int]:
    """A group number per document; near-duplicates have the same, so that no fold tests on what another trained on."""
    runs = [_runs(" ".join(d.sentences)) for d in documents]
    holders = defaultdict(list)
    for number, keys in enumerate(runs):
        for key in keys:
            holders[key].append(number)
    shared: dict[tuple[int, int], int] = defaultdict(int)
    for numbers in holders.values():
        for i, a in enumerate(numbers):
            for b in numbers[i + 1 :]:
                shared[a, b] += 1
    group = list(range(len(documents)))
    for (a, b), count in sorted(shared.items()):
        if count >= NEAR_DUPLICATE * min(len(runs[a]), len(runs[b])):
            kept, merged = sorted((group[a], group[b]))
            group = [kept if g == merged else g for g in group]
    return group


def _runs(text: str) -> set[str]:
    words = text.lower().split()
    return {" ".join(words[i : i + RUN]) for i in range(len(words) - RUN + 1)}
