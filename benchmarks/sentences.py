"""Compare sentence splitters on Indian judgments, in accuracy and speed.

    LEGALRR_DATA=... .venv/bin/python benchmarks/sentences.py [--judgments 60]

There are three gold standards. `lines`: the sentences of lawai50 and marro, repaired and joined to running text
(`repaired`). `build`: the spans of BUILD after the preamble, in the original text; a paragraph number at the end of a
span belongs to the next one (`covered`). `checked`: hand-labelled places, tests/boundaries.csv, with line breaks of
inabs read as spaces; half are a random sample, half are places where splitters disagree; `unseen` are those that were
not used to correct the rules. A boundary is the first visible character of a sentence, except the first of its text.

nupunkt (arXiv 2504.04131, https://github.com/alea-institute/nupunkt) is measured if it is installed.
"""

import argparse
import csv
import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from legalrr.corpora.catalogue import card
from legalrr.records import Judgment
from legalrr.sentences import ABBREVIATIONS, split

Splitter = Callable[[str], list[tuple[int, int]]]
Gold = Sequence[tuple[str, list[int]]]
CHECKED = Path(__file__).resolve().parent.parent / "tests" / "segment" / "boundaries.csv"
_ENDED = (".", "?", "!", '"', "”")
_OPEN = (":", ";", ",", ":-", "-.", " and", " and.", " or", " or.", " but")
# Words after which the annotators of the lines split sentences wrongly.
_CUT_AFTER = re.compile(
    r"(?:\A|\s)(?:nos?|mr|mrs|ms|dr|smt|shri|sri|m/s|u/s|vs?|rs|arts?|secs?|(?:sub-)?(?:ss?|cls?|rr?))\.?\Z",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\s[(\[]?\d{1,3}[.)\]]{1,2}\s*\Z")


def splitters() -> dict[str, Splitter]:
    """Return the installed splitters by name."""
    found: dict[str, Splitter] = {"legalrr": split, "spaCy sentencizer": sentencizer(())}
    found["spaCy + abbreviations"] = sentencizer(ABBREVIATIONS)
    if find_spec("nupunkt"):
        found["nupunkt"] = nupunkt(())
        found["nupunkt + abbreviations"] = nupunkt(ABBREVIATIONS)
    return found


def sentencizer(abbreviations: Iterable[str]) -> Splitter:
    """Build spaCy's sentencizer: a sentence ends with a full stop as a token; abbreviations with a stop are tokens."""
    import spacy

    nlp = spacy.blank("en")
    nlp.max_length = 100_000_000
    nlp.add_pipe("sentencizer")
    for word in abbreviations:
        for form in {word, word.capitalize(), word.upper()}:
            nlp.tokenizer.add_special_case(f"{form}.", [{"ORTH": f"{form}."}])
    return lambda text: [trimmed(text, s.start_char, s.end_char) for s in nlp(text).sents if s.text.strip()]


def nupunkt(abbreviations: Iterable[str]) -> Splitter:
    """Build nupunkt with its default model, additional abbreviations, and its rules for headings and lists."""
    from nupunkt import PunktParameters, PunktSentenceTokenizer
    from nupunkt.models import get_default_model_path

    parameters = PunktParameters.load(get_default_model_path())
    parameters.update_abbrev_types(set(abbreviations))
    parameters.freeze_sets()
    tokenizer = PunktSentenceTokenizer(parameters)
    return lambda text: tokenizer.spans(text, paragraph_breaks=True, line_breaks=True)


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the offsets without surrounding whitespace."""
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


def repaired(judgment: Judgment) -> tuple[str, list[int]]:
    """Join the sentence lines of lawai50 or marro to running text; return it with the sentence starts but the first.

    The lines have lost their full stops, which are restored. A line is joined to the previous one, as its annotators
    intended, if that one has an open bracket, ends with a colon, a semicolon, a comma or "and", or ends with a word of
    `_CUT_AFTER`, or if the line starts with a lower-case letter.
    """
    text, found = "", [0]
    for span in judgment.spans or ():
        line = " ".join(judgment.text[span.start : span.end].split())
        last = text[found[-1] :]
        cut = _CUT_AFTER.search(last)
        if last.count("(") > last.count(")") or cut or line[:1].islower() or last.endswith(_OPEN):
            text += ". " if cut and not last.endswith(".") else " "
        elif text:
            text += " " if text.endswith(_ENDED) else ". "
            found.append(len(text))
        text += line
    return text, found[1:]


def covered(judgment: Judgment) -> tuple[str, list[int]]:
    """Return the text of BUILD's spans after the preamble, and the starts of those spans in it but the first."""
    spans = judgment.spans or ()
    last = max((number for number, span in enumerate(spans) if span.role == "PREAMBLE"), default=-1)
    body = spans[last + 1 :]
    if not body:
        return "", []
    base = trimmed(judgment.text, body[0].start, body[0].end)[0]
    found = []
    for before, span in pairwise(body):
        number = _NUMBER.search(judgment.text, before.start, before.end)
        first = number.start() if number else span.start
        found.append(trimmed(judgment.text, first, span.end)[0] - base)
    return judgment.text[base : body[-1].end], found


def starts(splitter: Splitter, text: str) -> list[int]:
    """Return the sentence starts but the first."""
    return [start for start, _ in splitter(text)][1:]


def f1(found: Iterable[tuple[set[int], set[int]]]) -> float:
    """Compute micro-averaged boundary F1 from the (gold, predicted) offsets of each text."""
    pairs = list(found)
    hits = sum(len(gold & predicted) for gold, predicted in pairs)
    return 2 * hits / sum(len(gold) + len(predicted) for gold, predicted in pairs)


def checked(splitter: Splitter, texts: dict[tuple[str, str], str], rows: Iterable[dict[str, str]]) -> float:
    """Compute F1 of the decisions at the hand-labelled places."""
    cached: dict[tuple[str, str], set[int]] = {}
    pairs = []
    for row in rows:
        key = row["corpus"], row["id"]
        if key not in cached:
            cached[key] = set(starts(splitter, texts[key]))
        place = {int(row["offset"])}
        pairs.append((place if row["is_boundary"] == "1" else set(), place & cached[key]))
    return f1(pairs)


def main() -> None:
    """Print F1 per gold standard and sentences per second of every installed splitter."""
    parser = argparse.ArgumentParser(description="Compare sentence splitters.")
    parser.add_argument(
        "--judgments", type=int, default=60, help="judgments of BUILD, sampled with seed 0 (default 60)"
    )
    count = parser.parse_args().judgments
    corpora = {name: card(name).reader() for name in ("lawai50", "marro", "build", "inabs")}
    read = {name: list(corpus.read(corpus.split)) for name, corpus in corpora.items() if corpus}
    rows = list(csv.DictReader(CHECKED.open(encoding="utf-8")))
    texts = {(name, j.id): j.text for name in ("build", "inabs") for j in read[name]}
    texts |= {("inabs", j.id): j.text.replace("\n", " ") for j in read["inabs"]}
    lines: Gold = [repaired(judgment) for name in ("lawai50", "marro") for judgment in read[name]]
    build: Gold = [gold for judgment in read["build"] if (gold := covered(judgment))[1]]
    build = random.Random(0).sample(build, min(count, len(build)))
    parts = {
        "checked, random": [row for row in rows if row["drawn"] == "random"],
        "checked, disputed": [row for row in rows if row["drawn"] == "disputed"],
        "checked, unseen": [row for row in rows if row["seen"] == "no"],
    }
    print(f"{'':<26}{'lines':>8}{'build':>8}" + "".join(f"{part:>20}" for part in parts) + f"{'sentences/s':>14}")
    for name, splitter in splitters().items():
        # Timed on the first run, as nupunkt caches its results.
        began = time.perf_counter()
        found = [starts(splitter, text) for text, _ in build]
        rate = sum(map(len, found)) / (time.perf_counter() - began)
        scores = [f1((set(gold), set(starts(splitter, text))) for text, gold in golds) for golds in (lines, build)]
        by_hand = [checked(splitter, texts, part) for part in parts.values()]
        print(
            f"{name:<26}"
            + "".join(f"{s:>8.3f}" for s in scores)
            + "".join(f"{s:>20.3f}" for s in by_hand)
            + f"{rate:>14,.0f}"
        )


if __name__ == "__main__":
    main()
