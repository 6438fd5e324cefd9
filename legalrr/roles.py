"""Rhetorical roles: the schemes, what each role means, which of them decide the case, and the order under R.

Two schemes. `build`: the 13 roles of BUILD / LegalEval (Kalamkar et al., LREC 2022). `seven`: the 7 roles of
Bhattacharya et al. (JURIX 2019), which MARRO (arXiv 2503.10659) uses too. The definitions are this project's own words.
Which roles are hidden, and the order and the omissions under R, follow the study (arXiv 2511.20669).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from legalrr.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Role:
    """One rhetorical role."""

    code: str
    """Short name, as in spans."""
    heading: str
    """Heading above its sentences under R, and its name in the definitions."""
    definition: str
    """What a sentence of this role does."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A set of roles and how the experiment treats them."""

    name: str
    """`build` or `seven`."""
    roles: tuple[Role, ...]
    """All roles, in the order of the definitions."""
    decisive: frozenset[str]
    """Roles that tell the outcome; hidden in every arm."""
    rejected: frozenset[str]
    """Roles that tell what the court rejects; hidden with verdicts (`restructure.hide_verdicts`); the study did not."""
    order: tuple[str, ...]
    """Roles shown under R, in that order; the others are dropped under R."""
    undefined: frozenset[str]
    """Roles that D does not explain, as they carry no content."""
    written: str
    """Role that the first turn writes: ANALYSIS, or STA where the scheme has no analysis."""
    aliases: Mapping[str, str]
    """Other spellings in published files -> code."""

    @cached_property
    def _by_code(self) -> Mapping[object, Role]:
        return {role.code: role for role in self.roles}

    def __contains__(self, code: object) -> bool:
        """Whether `code` is a role of this scheme."""
        return code in self._by_code

    def role(self, code: str) -> Role:
        """The role named `code`; raises KeyError."""
        return self._by_code[code]

    def code(self, name: str, *, where: str) -> str:
        """The code for a role as a file spells it; raises UserError naming `where` for an unknown role."""
        code = self.aliases.get(name, name)
        if code not in self:
            known = ", ".join(r.code for r in self.roles)
            raise UserError(f"unknown role {name!r}", where=where, cure=f"the scheme {self.name!r} has {known}")
        return code


# Roles that both schemes have.
FACTS = Role(
    code="FAC",
    heading="Facts",
    definition="what happened between the parties and how the matter travelled through the courts until now",
)

LOWER_RULING = Role(
    code="RLC",
    heading="Ruling by Lower Court",
    definition="what a court or authority below decided in this matter, and the reasons it gave",
)

RULING = Role(
    code="RPC",
    heading="Ruling by Present Court",
    definition="the order that this court makes: relief, sentence, costs and directions",
)

BUILD = Scheme(
    name="build",
    roles=(
        Role(
            code="PREAMBLE",
            heading="Preamble",
            definition="the head of the judgment: court, case number, date, parties, counsel and judges",
        ),
        FACTS,
        LOWER_RULING,
        Role(
            code="ISSUE",
            heading="Issues",
            definition="the questions that this court sets itself to answer",
        ),
        Role(
            code="ARG_PETITIONER",
            heading="Arguments of the Petitioner",
            definition="what is urged for the party that came to this court, and the precedents its counsel cites",
        ),
        Role(
            code="ARG_RESPONDENT",
            heading="Arguments of the Respondent",
            definition="what is urged for the other side, with the precedents that its counsel cites",
        ),
        Role(
            code="ANALYSIS",
            heading="Analysis",
            definition="the court's own views on evidence, facts, arguments, statutes and precedents",
        ),
        Role(
            code="STA",
            heading="Statute",
            definition="the text of, or a reference to, the statutes, rules and articles that the court considers",
        ),
        Role(
            code="PRE_RELIED",
            heading="Precedents Relied Upon",
            definition="earlier decisions that this court follows",
        ),
        Role(
            code="PRE_NOT_RELIED",
            heading="Precedents Not Relied Upon",
            definition="earlier decisions that were cited and that this court does not follow or holds to be different",
        ),
        Role(
            code="RATIO",
            heading="Ratio of the Decision",
            definition="the main reason in law for which the court answers the issue as it does",
        ),
        RULING,
        Role(code="NONE", heading="None", definition="a sentence that does none of these things"),
    ),
    decisive=frozenset({"ANALYSIS", "STA", "RPC", "RATIO"}),
    rejected=frozenset({"PRE_NOT_RELIED"}),
    order=("PREAMBLE", "FAC", "RLC", "ISSUE", "PRE_RELIED", "ARG_PETITIONER", "ARG_RESPONDENT"),
    undefined=frozenset({"NONE"}),
    written="ANALYSIS",
    aliases=MappingProxyType({}),
)

SEVEN = Scheme(
    name="seven",
    roles=(
        FACTS,
        LOWER_RULING,
        Role(
            code="ARG",
            heading="Argument",
            definition="what the parties urge before this court",
        ),
        Role(
            code="STA",
            heading="Statute",
            definition="the text of, or a reference to, the written law that the court considers",
        ),
        Role(
            code="PRE",
            heading="Precedent",
            definition="earlier decisions that are cited, followed or held to be different",
        ),
        Role(
            code="RATIO",
            heading="Ratio of the Decision",
            definition="the court's reasoning: how it applies the law to the points that the parties argued",
        ),
        RULING,
    ),
    decisive=frozenset({"STA", "RATIO", "RPC"}),
    rejected=frozenset(),
    order=("FAC", "RLC", "PRE", "ARG"),
    undefined=frozenset(),
    written="STA",
    aliases=MappingProxyType(
        {
            "Facts": "FAC",
            "Ruling by Lower Court": "RLC",
            "Argument": "ARG",
            "Statute": "STA",
            "Precedent": "PRE",
            "Ratio of the decision": "RATIO",
            "Ratio": "RATIO",
            "Ruling by Present Court": "RPC",
        }
    ),
)


def scheme(name: str, *, where: str = "") -> Scheme:
    """The scheme called `name`; raises UserError naming `where` otherwise."""
    for known in (BUILD, SEVEN):
        if known.name == name:
            return known
    raise UserError(f"unknown role scheme {name!r}", where=where, cure="use 'build' (13 roles) or 'seven' (7 roles)")
