"""Rhetorical role schemes: the roles, which of them decide the case, their order under R, and mappings between schemes.

`build`: the 13 roles of BUILD / LegalEval (Kalamkar et al., LREC 2022). `seven`: the 7 roles of Bhattacharya et al.
(JURIX 2019), also used by MARRO (arXiv 2503.10659). The definitions are worded by this project. Which roles are hidden,
and which are ordered or dropped under R, follows the study (arXiv 2511.20669).

One table maps four published schemes onto each other: these two by their codes, `iltur`, the 13 labels of Malik et al.
(Semantic Segmentation of Legal Documents via Rhetorical Roles, NLLP 2022) that IL-TUR (ACL 2024) uses, and `legalseg`,
the 7 labels of LegalSeg (NAACL 2025, arXiv 2502.05836). No judgment is annotated in two schemes, so the table follows
from the definitions, not from a measurement.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from legalrr.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Role:
    """One rhetorical role."""

    code: str
    """Code used in spans."""
    heading: str
    """Heading of its group under R, and its name in the definitions."""
    definition: str
    """Function of a sentence with this role."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A set of roles and their treatment in the experiment."""

    name: str
    """`build` or `seven`."""
    roles: tuple[Role, ...]
    """All roles, in the order of the definitions."""
    decisive: frozenset[str]
    """Roles that reveal the outcome; hidden in every arm."""
    rejected: frozenset[str]
    """Roles of what the court rejects; hidden with verdicts (`restructure.hide_verdicts`), shown in the study."""
    order: tuple[str, ...]
    """Roles shown under R, in this order; the study drops the others."""
    undefined: frozenset[str]
    """Roles without content, which D does not define."""
    written: str
    """Role that the first turn generates: ANALYSIS, or STA in a scheme without it."""
    aliases: Mapping[str, str]
    """Spelling in published files -> code."""

    @cached_property
    def _by_code(self) -> Mapping[object, Role]:
        return {role.code: role for role in self.roles}

    def __contains__(self, code: object) -> bool:
        """Whether `code` is a role of this scheme."""
        return code in self._by_code

    def role(self, code: str) -> Role:
        """Return the role with the code `code`; raises KeyError."""
        return self._by_code[code]

    def code(self, name: str, *, where: str) -> str:
        """Return the code of a role as spelled in a file; raises UserError at `where` for an unknown role."""
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
    """Return the scheme `name`; raises UserError at `where` for an unknown one."""
    for known in (BUILD, SEVEN):
        if known.name == name:
            return known
    raise UserError(f"unknown role scheme {name!r}", where=where, cure="use 'build' (13 roles) or 'seven' (7 roles)")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A row of the table: one kind of sentence and its role in each scheme; "" if a scheme has none."""

    build: str
    """Code in `build`."""
    seven: str
    """Code in `seven`."""
    iltur: str
    """Label of Malik et al."""
    legalseg: str
    """Label of LegalSeg."""
    note: str = ""
    """Difference between the schemes that the names do not show."""


SCHEMES = ("build", "seven", "iltur", "legalseg")
"""The schemes of the table, by name."""

# If two rows have the same role, the first one gives its mapping.
KINDS: tuple[Kind, ...] = (
    Kind(build="FAC", seven="FAC", iltur="Fact", legalseg="Facts"),
    Kind(
        build="RLC",
        seven="RLC",
        iltur="RulingByLowerCourt",
        legalseg="Facts",
        note="LegalSeg has no role for it; as history of the matter it is nearest to Facts",
    ),
    Kind(build="ISSUE", seven="", iltur="Issue", legalseg="Issue", note="the seven roles have none for the questions"),
    Kind(build="ARG_PETITIONER", seven="ARG", iltur="ArgumentPetitioner", legalseg="Arguments of Petitioner"),
    Kind(
        build="ARG_RESPONDENT",
        seven="ARG",
        iltur="ArgumentRespondent",
        legalseg="Arguments of Respondent",
        note="the seven roles do not say who argues",
    ),
    Kind(
        build="ANALYSIS",
        seven="RATIO",
        iltur="RatioOfTheDecision",
        legalseg="Reasoning",
        note="only BUILD keeps the discussion apart from the ratio; elsewhere most of a ratio is discussion",
    ),
    Kind(build="STA", seven="STA", iltur="Statute", legalseg="Reasoning", note="LegalSeg has no role for statutes"),
    Kind(
        build="PRE_RELIED",
        seven="PRE",
        iltur="PrecedentReliedUpon",
        legalseg="Reasoning",
        note="LegalSeg has no role for precedents",
    ),
    Kind(
        build="PRE_NOT_RELIED",
        seven="PRE",
        iltur="PrecedentNotReliedUpon",
        legalseg="Reasoning",
        note="the seven roles do not say whether a precedent is followed",
    ),
    Kind(
        build="PRE_NOT_RELIED",
        seven="PRE",
        iltur="PrecedentOverruled",
        legalseg="Reasoning",
        note="only IL-TUR says that a precedent is overruled",
    ),
    Kind(build="RATIO", seven="RATIO", iltur="RatioOfTheDecision", legalseg="Reasoning"),
    Kind(
        build="ANALYSIS",
        seven="RATIO",
        iltur="Dissent",
        legalseg="Reasoning",
        note="only IL-TUR marks the views of a dissenting judge; elsewhere they read like the court's",
    ),
    Kind(build="RPC", seven="RPC", iltur="RulingByPresentCourt", legalseg="Decision"),
    Kind(build="NONE", seven="", iltur="None", legalseg="None", note="in the seven roles every sentence has a role"),
    Kind(
        build="PREAMBLE",
        seven="",
        iltur="None",
        legalseg="None",
        note="only BUILD has a role for the head of a judgment",
    ),
)
"""The table of correspondences."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A distinction that a mapping loses."""

    kind: Literal["dropped", "merged", "guessed"]
    """dropped: the target has no such role; merged: several roles become one; guessed: the target has several roles
    for it, of which the first is taken."""
    source: tuple[str, ...]
    """Affected roles of the source."""
    target: tuple[str, ...]
    """Roles of the target; under `guessed` all candidates, the one taken first. Empty if dropped."""

    def __str__(self) -> str:
        """Describe the loss."""
        source, target = " and ".join(self.source), " or ".join(self.target)
        if self.kind == "dropped":
            return f"{source}: no role for it"
        if self.kind == "merged":
            return f"{source}: all become {target}"
        return f"{source}: may be {target}; {self.target[0]} is taken"


def roles_of(name: str) -> tuple[str, ...]:
    """Return the roles of a scheme of the table, in its order; raises UserError for an unknown scheme."""
    if name not in SCHEMES:
        raise UserError(f"unknown role scheme {name!r}", cure=f"one of {', '.join(SCHEMES)}")
    return tuple(dict.fromkeys(role for kind in KINDS if (role := getattr(kind, name))))


def mapping(source: str, target: str) -> Mapping[str, str | None]:
    """Map each role of the scheme `source` to its role in `target`; None if there is none."""
    return {role: next(iter(_targets(source, role, target)), None) for role in roles_of(source)}


def losses(source: str, target: str) -> tuple[Loss, ...]:
    """Return the distinctions that `mapping(source, target)` loses; empty between a scheme and itself."""
    found: list[Loss] = []
    becomes: dict[str, list[str]] = {}
    for role, taken in mapping(source, target).items():
        if taken is None:
            found.append(Loss(kind="dropped", source=(role,), target=()))
        else:
            becomes.setdefault(taken, []).append(role)
    for taken, roles in becomes.items():
        if len(roles) > 1:
            found.append(Loss(kind="merged", source=tuple(roles), target=(taken,)))
    for role in roles_of(source):
        if len(targets := _targets(source, role, target)) > 1:
            found.append(Loss(kind="guessed", source=(role,), target=tuple(targets)))
    return tuple(found)


def _targets(source: str, role: str, target: str) -> list[str]:
    """Return the candidates for a role in another scheme, the one taken first."""
    roles_of(target)
    rows = [kind for kind in KINDS if getattr(kind, source) == role]
    return list(dict.fromkeys(name for kind in rows if (name := getattr(kind, target))))
