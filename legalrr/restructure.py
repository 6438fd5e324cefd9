"""Build the document that a model sees: hide what reveals the outcome, order the rest, fit it into the budget.

The study (arXiv 2511.20669) hides the decisive roles in every arm, and under R regroups the remaining sentences by
role, dropping NONE and PRE_NOT_RELIED, so that its R changes both content and order. `content: all` with `order: role`
is the arm that changes only the order.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from legalrr.errors import UserError
from legalrr.hiding.hide import hide, pieces
from legalrr.page_images import check_options, fit, select_pages
from legalrr.protocols import Tokens
from legalrr.records import Block, Document, Hidden, Judgment, Segments
from legalrr.roles import Scheme, scheme
from legalrr.stage import at_least, check_fields, choice, digest
from legalrr.truncate import OVERFLOWS

CODE = (
    "legalrr.hiding.headnote",
    "legalrr.hiding.hide",
    "legalrr.hiding.phrases",
    "legalrr.hiding.plain_text",
    "legalrr.hiding.reported_speech",
    "legalrr.hiding.verdict_cues",
    "legalrr.hiding.verdict_phrases",
    "legalrr.hiding.verdict_views",
    "legalrr.page_images",
    "legalrr.records",
    "legalrr.restructure",
    "legalrr.roles",
    "legalrr.sentences",
    "legalrr.truncate",
)
"""Modules that decide what is hidden and shown."""


@dataclass(frozen=True, kw_only=True)
class Restructure:
    """Stage between roles and prompt."""

    order: str = choice("document", "document", "role")
    """`document` order, or `role`: grouped under a heading per role, in the order of the scheme."""
    content: str = choice("all", "all", "main")
    """`all` roles, or `main`: the roles that the study keeps under R."""
    preamble: bool = True
    """Whether the PREAMBLE is shown."""
    also_hide: list[str] = field(default_factory=list)
    """Roles to hide in addition to the decisive ones, for example RLC."""
    hide_verdicts: bool = True
    """Whether to also hide headnotes, rejected precedents, the court's verdicts and views under other roles, closing
    lines, uncovered ends and repetitions; false in the study."""
    overflow: str = choice("error", *OVERFLOWS)
    """Policy for a judgment longer than the budget: `error`, `middle`, `by_role`, `skip`. A judgment shown as images
    with all pages hidden is also an error, unless `skip` excludes it."""
    budget: int | None = at_least(1, None)
    """Tokens for the judgment; None: the rest of the context."""
    last_pages_hidden: int | None = at_least(0, None)
    """Pages to hide at the end of a scanned judgment shown as images, as they may reveal the outcome; None: such a
    judgment is an error. Pages with text are hidden by their content (`legalrr.page_images`)."""

    VERSION: ClassVar[int] = 3

    def __post_init__(self) -> None:
        """Check the options."""
        check_fields(self, "restructure")

    def provenance(self) -> Mapping[str, Any]:
        """Return what documents depend on besides the options; a change of the code hides all judgments anew."""
        return {"code": code_digest(CODE), "unicode": unicodedata.unidata_version}

    def restructure(self, judgment: Judgment, segments: Segments, tokens: Tokens | None, reserve: int) -> Document:
        """See `legalrr.protocols.Restructurer`.

        Raises:
            UserError: a judgment over the budget under `overflow: error`; page images with options that move or drop
                sentences, or with no page left to show.
        """
        check_options(judgment, order=self.order, content=self.content, preamble=self.preamble)
        roles = scheme(segments.scheme, where=judgment.id)
        also = frozenset(roles.code(role, where="restructure.also_hide") for role in self.also_hide)
        hidden = hide(judgment, segments, also=also, verdicts=self.hide_verdicts)
        blocks = visible_blocks(judgment.text, segments, hidden)
        if not self.preamble:
            blocks = [b for b in blocks if b.role != "PREAMBLE"]
        if self.content == "main":
            blocks = [b for b in blocks if b.role in roles.order]
        if self.order == "role":
            blocks = group_by_role(blocks, roles)
        document = Document(
            id=judgment.id,
            scheme=segments.scheme,
            headings=self.order == "role",
            blocks=tuple(blocks),
            hidden=hidden,
        )
        skip = self.overflow == "skip"
        document = select_pages(document, judgment.pages, last_pages_hidden=self.last_pages_hidden, allow_none=skip)
        if tokens is None:
            return document
        room = tokens.context - reserve
        if room < 1:
            raise UserError(
                f"prompt and answers take {reserve} tokens, and the context has {tokens.context}",
                where="backbone.context",
                cure="lower annotate.tokens or choose a backbone with a longer context",
            )
        return fit(document, tokens, min(room, self.budget or room), self.overflow)


@cache
def code_digest(modules: tuple[str, ...]) -> str:
    """Return the digest of the source files of modules."""
    sources = []
    for name in modules:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        sources.append(Path(spec.origin).read_text("utf-8"))
    return digest(sources)


def visible_blocks(text: str, segments: Segments, hidden: Sequence[Hidden]) -> list[Block]:
    """Return the text between hidden passages as blocks in document order, one per uninterrupted run of a role."""
    blocks: list[Block] = []
    for start, end, role in pieces(text, segments):
        at = start
        for h in [*(h for h in hidden if h.start < end and h.end > start), None]:
            stop = end if h is None else h.start
            _append_block(blocks, text, at, max(at, stop), role)
            if h is not None:
                at = max(at, h.end)
    return blocks


def _append_block(blocks: list[Block], text: str, start: int, end: int, role: str) -> None:
    raw = text[start:end]
    shown = raw.strip()
    if not shown:
        return
    start += len(raw) - len(raw.lstrip())
    if blocks and blocks[-1].role == role:
        last_end = blocks[-1].start + len(blocks[-1].text)
        if not text[last_end:start].strip():
            blocks[-1] = replace(blocks[-1], text=text[blocks[-1].start : start + len(shown)])
            return
    blocks.append(Block(role=role, start=start, text=shown))


def group_by_role(blocks: list[Block], roles: Scheme) -> list[Block]:
    """Group blocks by role: the roles shown under R in their order, then other roles, then text without a role."""
    rest = [r.code for r in roles.roles if r.code not in roles.order]
    rank = {code: i for i, code in enumerate([*roles.order, *rest, ""])}
    return sorted(blocks, key=lambda b: (rank[b.role], b.start))
