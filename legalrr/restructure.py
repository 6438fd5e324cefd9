"""Make the document that a model sees: hide what tells the outcome, order the rest, fit it into the budget.

The study (arXiv 2511.20669) hides the decisive roles in every arm, and under R regroups the remaining sentences by
role, dropping NONE and PRE_NOT_RELIED, so that its R changes content as well as order. `content: all` with `order:
role` is the arm that changes the order alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from legalrr.errors import UserError
from legalrr.hiding.hide import clip_blocks, hide, image_pages, pieces, visible_pages
from legalrr.protocols import Tokens
from legalrr.records import Block, Document, Hidden, Judgment, Segments
from legalrr.roles import Scheme, scheme
from legalrr.stage import at_least, check_fields, choice
from legalrr.truncate import OVERFLOWS, truncate, truncate_pages


@dataclass(frozen=True, kw_only=True)
class Restructure:
    """The stage between roles and prompt."""

    order: str = choice("document", "document", "role")
    """`document`, or `role`: regrouped under a heading per role, in the order of the scheme."""
    content: str = choice("all", "all", "main")
    """`all`, or `main`: only the roles that the study keeps under R."""
    preamble: bool = True
    """Whether the PREAMBLE is shown."""
    also_hide: list[str] = field(default_factory=list)
    """Roles to hide beside the decisive ones, for example RLC."""
    hide_verdicts: bool = True
    """Hide headnotes, rejected precedents, the court's verdicts and views under other roles, closing lines, uncovered
    ends and repeats too; false is what the study did."""
    overflow: str = choice("error", *OVERFLOWS)
    """What to do with a judgment longer than the budget: `error`, `middle`, `by_role`, `skip`. One to be shown as
    images, all of whose pages are hidden, is an error as well, unless `skip` leaves it out."""
    budget: int | None = at_least(1, None)
    """Tokens for the judgment; None: what the context leaves."""
    last_pages_hidden: int | None = at_least(0, None)
    """Pages at the end of a scanned judgment, shown as images, that are hidden because they may tell the outcome; None:
    such a judgment is refused. Pages with text are hidden by what they hold (`legalrr.hiding.hide`)."""

    VERSION: ClassVar[int] = 3

    def __post_init__(self) -> None:
        """Refuse choices that do not exist."""
        check_fields(self, "restructure")

    def restructure(self, judgment: Judgment, segments: Segments, tokens: Tokens | None, reserve: int) -> Document:
        """See `legalrr.protocols.Restructurer`.

        Raises:
            UserError: an over-long judgment under `overflow: error`; pages shown as images where sentences would have
                to be moved or left out, or where none is left to show.
        """
        pictured = image_pages(judgment.pages)
        if pictured:
            self._check_pages(judgment.id)
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
        if pictured:
            shown = visible_pages(
                judgment.pages,
                hidden,
                last_pages_hidden=self.last_pages_hidden,
                allow_none=self.overflow == "skip",
            )
            document = replace(
                document,
                blocks=clip_blocks(blocks, shown),
                pages=shown,
                hidden_pages=tuple(page for page in pictured if page not in shown),
                skipped=not shown,
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
        fitted = truncate_pages if pictured else truncate
        return fitted(document, tokens, min(room, self.budget or room), self.overflow)

    def _check_pages(self, id: str) -> None:
        """Raises UserError for a choice that cuts or reorders text, which an image does not allow."""
        for option, value, needed, cure in (
            ("order", self.order, "document", "use an arm without R, or corpus.input=text"),
            ("content", self.content, "all", "use an arm without R, or corpus.input=text"),
            ("preamble", self.preamble, True, "hide its pages by restructure.also_hide=[PREAMBLE]"),
        ):
            if value != needed:
                raise UserError(
                    f"{option}={str(value).lower()} needs the text of a judgment, and {id} is shown as images of pages",
                    where=f"restructure.{option}",
                    cure=cure,
                )


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
