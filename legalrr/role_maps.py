"""How the roles of four published schemes correspond, in one table, and what is lost on the way from one to another.

`build` and `seven` are this project's schemes (`legalrr.roles`), by their codes. `iltur`: the 13 labels of Malik et al.
(Semantic Segmentation of Legal Documents via Rhetorical Roles, NLLP 2022), which IL-TUR (ACL 2024) uses. `legalseg`:
the 7 labels of LegalSeg (NAACL 2025, arXiv 2502.05836). No judgment carries the roles of two schemes, so the table is a
reading of the definitions, not a measurement.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from legalrr.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of sentence, and what each scheme calls it; "" where a scheme has no role for it."""

    build: str
    """Code in `build`."""
    seven: str
    """Code in `seven`."""
    iltur: str
    """Label of Malik et al."""
    legalseg: str
    """Label of LegalSeg."""
    note: str = ""
    """What the names hide."""


SCHEMES = ("build", "seven", "iltur", "legalseg")
"""The schemes of the table, by name."""

# Of two rows with the same role, the first says what it becomes elsewhere.
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
"""The table."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Something that a mapping cannot keep."""

    kind: Literal["dropped", "merged", "guessed"]
    """dropped: the target has no role for it; merged: it becomes the same role as others; guessed: the target tells
    apart what the source does not, and the first of the target's roles is taken."""
    source: tuple[str, ...]
    """The roles that lose."""
    target: tuple[str, ...]
    """What they become; under `guessed`, all that they may be, the one taken first. Empty when dropped."""

    def __str__(self) -> str:
        """The loss in words."""
        source, target = " and ".join(self.source), " or ".join(self.target)
        if self.kind == "dropped":
            return f"{source}: no role for it"
        if self.kind == "merged":
            return f"{source}: told apart no longer, all {target}"
        return f"{source}: may be {target}; {self.target[0]} is taken"


def roles_of(name: str) -> tuple[str, ...]:
    """The roles of a scheme of the table, in its order; raises UserError for another name."""
    if name not in SCHEMES:
        raise UserError(f"unknown role scheme {name!r}", cure=f"one of {', '.join(SCHEMES)}")
    return tuple(dict.fromkeys(role for kind in KINDS if (role := getattr(kind, name))))


def mapping(source: str, target: str) -> Mapping[str, str | None]:
    """What each role of the scheme `source` becomes in `target`; None where that has no role for it."""
    return {role: next(iter(_targets(source, role, target)), None) for role in roles_of(source)}


def losses(source: str, target: str) -> tuple[Loss, ...]:
    """What `mapping(source, target)` cannot keep; empty between a scheme and itself."""
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
    """All that a role may be in another scheme, the one that is taken first."""
    roles_of(target)
    rows = [kind for kind in KINDS if getattr(kind, source) == role]
    return list(dict.fromkeys(name for kind in rows if (name := getattr(kind, target))))
