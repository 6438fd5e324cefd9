"""Make the document that a model sees: hide what tells the outcome, order the rest, fit it into the budget.

The study (arXiv 2511.20669) hides the decisive roles in every arm, and under R regroups the remaining sentences by
role, dropping NONE and PRE_NOT_RELIED, so that its R changes content as well as order. `content: all` with `order:
role` is the arm that changes the order alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from legalrr.errors import UserError
from legalrr.fit import OVERFLOWS, fit
from legalrr.hide import hide, pieces
from legalrr.protocols import Tokens
from legalrr.records import Block, Document, Hidden, Judgment, Segments
from legalrr.roles import Scheme, scheme


@dataclass(frozen=True, kw_only=True)
class Restructure:
    """The stage between roles and prompt."""

    order: str = "document"
    """`document`, or `role`: regrouped under a heading per role, in the order of the scheme."""
    content: str = "all"
    """`all`, or `main`: only the roles that the study keeps under R."""
    preamble: bool = True
    """Whether the PREAMBLE is shown."""
    also_hide: list[str] = field(default_factory=list)
    """Roles to hide beside the decisive ones, for example RLC."""
    hide_verdicts: bool = True
    """Hide verdict-like sentences, closing lines, uncovered ends and repeats too; false is what the study did."""
    overflow: str = "error"
    """What to do with a judgment longer than the budget: `error`, `middle`, `by_role`, `skip`."""
    budget: int | None = None
    """Tokens for the judgment; None: what the context leaves."""

    VERSION: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Refuse choices that do not exist."""
        for name, value, known in (
            ("order", self.order, ("document", "role")),
            ("content", self.content, ("all", "main")),
            ("overflow", self.overflow, OVERFLOWS),
        ):
            if value not in known:
                raise UserError(
                    f"unknown {name} {value!r}", where=f"restructure.{name}", cure=f"use {' or '.join(known)}"
                )
        if self.budget is not None and self.budget < 1:
            raise UserError(
                f"a budget of {self.budget} tokens", where="restructure.budget", cure="give a positive number"
            )

    def restructure(self, judgment: Judgment, segments: Segments, tokens: Tokens | None, reserve: int) -> Document:
        """See `legalrr.protocols.Restructurer`; raises UserError for an over-long judgment under `overflow: error`."""
        roles = scheme(segments.scheme, where=judgment.id)
        also = frozenset(roles.code(role, where="restructure.also_hide") for role in self.also_hide)
        hidden = hide(judgment, segments, also=also, verdicts=self.hide_verdicts)
        blocks = visible(judgment.text, segments, hidden)
        if not self.preamble:
            blocks = [b for b in blocks if b.role != "PREAMBLE"]
        if self.content == "main":
            blocks = [b for b in blocks if b.role in roles.order]
        if self.order == "role":
            blocks = by_role(blocks, roles)
        document = Document(
            id=judgment.id,
            scheme=segments.scheme,
            headings=self.order == "role",
            blocks=tuple(blocks),
            hidden=hidden,
        )
        if tokens is None:
            return document
        room = tokens.context - reserve
        if room < 1:
            raise UserError(
                f"prompt and answers take {reserve} of {tokens.context} tokens of context, all there are",
                where="backbone.context",
                cure="lower annotate.tokens or take a backbone with a longer context",
            )
        return fit(document, tokens, min(room, self.budget or room), self.overflow)


def visible(text: str, segments: Segments, hidden: Sequence[Hidden]) -> list[Block]:
    """The text between hidden stretches as blocks in document order, one per unbroken run of a role."""
    blocks: list[Block] = []
    for start, end, role in pieces(text, segments):
        at = start
        for h in [*(h for h in hidden if h.start < end and h.end > start), None]:
            stop = end if h is None else h.start
            _add(blocks, text, at, max(at, stop), role)
            if h is not None:
                at = max(at, h.end)
    return blocks


def _add(blocks: list[Block], text: str, start: int, end: int, role: str) -> None:
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


def by_role(blocks: list[Block], roles: Scheme) -> list[Block]:
    """Blocks regrouped: the roles shown under R in their order, then the other roles, then text without a role."""
    rest = [r.code for r in roles.roles if r.code not in roles.order]
    rank = {code: i for i, code in enumerate([*roles.order, *rest, ""])}
    return sorted(blocks, key=lambda b: (rank[b.role], b.start))
