"""A small invented corpus in which words of a sentence determine its role."""

from pathlib import Path

import pytest

from legalrr.records import Judgment, Span

SENTENCES = {
    "FAC": ["The tenant took the {thing} on lease in {year}.", "He paid rent for the {thing} until {year}."],
    "RLC": [
        "The Munsif decreed the suit for the {thing} in {year}.",
        "The District Judge affirmed that decree of {year}.",
    ],
    "ARG": ["Counsel urged that the {thing} was never let.", "It was contended that the notice of {year} was bad."],
    "STA": ["Section {year} of the Act provides for a {thing}.", "The proviso to section {year} speaks of a {thing}."],
    "PRE": ["In Ram v. Shyam ({year}) the {thing} was not let.", "Gopal v. State ({year}) concerned a {thing}."],
    "RATIO": ["In our opinion a {thing} is within the rule.", "We therefore hold that the {thing} was let in {year}."],
    "RPC": ["The appeal is dismissed with costs of the {thing}.", "We order that the {thing} be restored."],
}


def _judgment(number: int) -> Judgment:
    thing = ("shop", "house", "godown", "field", "mill")[number % 5]
    text, spans = "", []
    for role, sentences in SENTENCES.items():
        for sentence in sentences[: 1 + (number + len(role)) % 2]:
            words = sentence.format(thing=thing, year=1950 + number)
            spans.append(Span(start=len(text), end=len(text) + len(words), role=role))
            text += words + "\n"
    return Judgment(id=f"case-{number}", text=text, scheme="seven", spans=tuple(spans), outcome="dismissed")


@pytest.fixture(scope="session")
def judgments() -> list[Judgment]:
    return [_judgment(number) for number in range(12)]


@pytest.fixture
def lines_folder(tmp_path: Path, judgments: list[Judgment]) -> Path:
    """Write the same judgments with one sentence and role per line."""
    folder = tmp_path / "lawai50" / "data" / "text"
    folder.mkdir(parents=True)
    for judgment in judgments:
        lines = [f"{judgment.text[s.start : s.end]}\t{s.role}\n" for s in judgment.spans]
        (folder / f"{judgment.id}.txt").write_text("".join(lines), "utf-8")
    return folder
