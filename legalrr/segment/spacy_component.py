"""spaCy components for sentences and rhetorical roles of judgments.

    nlp = spacy.blank("en")
    nlp.add_pipe("legal_sentences")
    nlp.add_pipe("rhetorical_roles", config={"scheme": "build"})
    doc = nlp(text)
    for span, score in zip(doc.spans["rhetorical_roles"], doc.spans["rhetorical_roles"].attrs["scores"]):
        print(span.label_, score, span.text)

Entry points of the installed package register both components, and so does importing this module. They use the sentence
splitter and taggers of the pipeline (`conf/segment`), and give the same offsets.

Spans of spaCy consist of whole tokens, those of the pipeline of characters. A token belongs to the first span that it
overlaps, so that every character of a span is in a span of the group and no token is in two. A sentence that begins
within a token ("dismissed.The") begins with the next token; if it also ends within that token, it becomes part of the
previous sentence. `attrs["offsets"]` has the exact offsets.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc

from legalrr.corpora.exchange import SPANS_KEY, align_to_tokens, span_group
from legalrr.errors import UserError
from legalrr.protocols import Segmenter
from legalrr.records import Judgment
from legalrr.segment.tagger import load_tagger
from legalrr.sentences import split


@Language.component("legal_sentences", assigns=["token.is_sent_start", "doc.sents"])
def legal_sentences(doc: Doc) -> Doc:
    """Set the sentence starts of a document to those of `legalrr.sentences.split`.

    White space before the first sentence belongs to it, other white space to the sentence before.
    """
    starts = {first for first, _, _ in align_to_tokens(_tokens(doc), split(doc.text))[1:]}
    for token in doc:
        token.is_sent_start = token.i == 0 or token.i in starts
    return doc


class RhetoricalRoles:
    """Component that adds rhetorical roles to a document as a span group.

    Args:
        segmenter: tagger of the pipeline.
        spans_key: name of the group in `doc.spans`.

    The group's `attrs`: scheme (of the roles), segmenter (its name); scores and offsets, one per span: the probability
    of its role, and its exact half-open character offsets; see `legalrr.corpora.exchange.span_group`.
    """

    def __init__(self, segmenter: Segmenter, spans_key: str = SPANS_KEY) -> None:
        self.segmenter = segmenter
        self.spans_key = spans_key

    def __call__(self, doc: Doc) -> Doc:
        """Tag `doc`; raise UserError if the model is missing or damaged."""
        segments = self.segmenter.segment(Judgment(id="doc", text=doc.text))
        doc.spans[self.spans_key] = span_group(
            doc, segments.spans, scheme_name=segments.scheme, tagger=self.segmenter.name, key=self.spans_key
        )
        return doc

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialize the digests of the models. spaCy saves the configuration; the models themselves are not saved."""
        return json.dumps(dict(self.segmenter.provenance()), indent=2, sort_keys=True).encode("utf-8")

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> "RhetoricalRoles":
        """Check that the models are those with which the pipeline was saved; raise UserError if not."""
        if json.loads(data) != json.loads(self.to_bytes()):
            raise UserError(
                "the pipeline was saved with another model",
                where="rhetorical_roles",
                cure="install the version of legalrr that saved it, restore its model, or build the pipeline again",
            )
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write `to_bytes` to a JSON file."""
        Path(path).with_suffix(".json").write_bytes(self.to_bytes())

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "RhetoricalRoles":
        """Read what `to_disk` wrote, and check it as `from_bytes` does."""
        return self.from_bytes(Path(path).with_suffix(".json").read_bytes())


@Language.factory(
    "rhetorical_roles",
    assigns=["doc.spans"],
    default_config={
        "segment": "crf",
        "scheme": "build",
        "model": None,
        "prior_correction": None,
        "spans_key": SPANS_KEY,
    },
)
def rhetorical_roles(
    nlp: Language,
    name: str,
    *,
    segment: str,
    scheme: str,
    model: str | None,
    prior_correction: float | None,
    spans_key: str,
) -> RhetoricalRoles:
    """Create the component from its configuration.

    Args:
        nlp: the pipeline.
        name: name of the component in the pipeline.
        segment: name of a tagger in conf/segment.
        scheme: scheme of the roles; build or seven.
        model: path of a model file; None: the one that ships.
        prior_correction: 0 to 1: favour rare roles; None: the value of the tagger's configuration.
        spans_key: name of the group in `doc.spans`.

    Raises:
        UserError: an unknown tagger or scheme.
    """
    chosen = load_tagger(
        segment, scheme=scheme, model=model, prior_correction=prior_correction, option=f"{name}.segment"
    )
    return RhetoricalRoles(chosen, spans_key)


def _tokens(doc: Doc) -> list[tuple[int, int]]:
    return [(token.idx, token.idx + len(token)) for token in doc]
