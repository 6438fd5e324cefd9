"""Judgments as a tagger learns them: sentences with their gold roles."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from legalrr.errors import UserError
from legalrr.near_duplicates import near_duplicates
from legalrr.records import Judgment
from legalrr.segment.sentences import split


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
        if not judgment.spans or judgment.scheme is None:
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
    return near_duplicates([" ".join(d.sentences) for d in documents])
