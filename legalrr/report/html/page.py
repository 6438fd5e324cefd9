"""Render a report as one HTML page: data as JSON, figures as SVG, texts as compressed blocks, one style and one script.

The page loads no external resource, and its content security policy allows only its own script, which inserts every
text as text. The template escapes its input. The same run folders give the same bytes.

A block is JSON, compressed (zlib) and base64-encoded; the page decompresses it when the judgment is opened.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from legalrr.corpora.catalogue import card
from legalrr.errors import UserError, printable
from legalrr.html import environment, source_hash, template_source
from legalrr.progress import progress
from legalrr.report.compare import Report
from legalrr.report.html.conversations import Conversations, Phrases
from legalrr.report.html.judgments import Judgments, JudgmentSet, judgment_sets, read_judgments, read_rows
from legalrr.report.html.results import (
    SIZES,
    breakdowns_json,
    calibration_json,
    cells_json,
    effects_json,
    explanations_json,
    figures,
    groups_json,
    health_json,
    power_json,
    repeats_json,
    verdict,
)
from legalrr.report.html.sample import KINDS, Place, TextSample, choose_texts, kind_numbers
from legalrr.report.load import RunResult
from legalrr.report.summary import arm_warnings, facts
from legalrr.roles import BUILD, SEVEN
from legalrr.score.cases import INVALID_POLICIES

STYLES = ("report/html/base.css", "report/html/parts.css", "report/html/reader.css", "segment/roles.css")
SCRIPTS = tuple(
    f"report/html/{name}.js"
    for name in (
        "dom",
        "table",
        "results",
        "repeats",
        "effects",
        "explanations",
        "errors",
        "health",
        "blocks",
        "list",
        "reader",
        "talk",
        "main",
    )
)
"""Parts of the page's script, in order."""
BATCH = 40
"""Number of judgments whose rows are in memory at once."""
MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Text blocks of a page."""

    blocks: Mapping[Place, str]
    """Place of a judgment -> block in base64."""
    phrases: str
    """Block of the list of strings that judgments share."""


def report_page(report: Report, folders: Sequence[Path], *, sample: TextSample | None = None) -> str:
    """Render the page.

    Args:
        report: Report read from `folders`.
        folders: Run folders, for their names and commands.
        sample: Judgments whose texts are in the page; None: the default.

    Raises:
        UserError: A file of a folder is damaged, or the sample names an unknown judgment.
    """
    sample = sample or TextSample()
    gathered = judgment_sets(report)
    chosen = choose_texts(gathered, sample)
    held = read_judgments(report.cells, frozenset(gathered[number].ids[at] for number, at in chosen))
    gathered = [one.with_judgments(held) for one in gathered]
    texts = pack_texts(report, gathered, held, chosen, sample.megabytes)
    templates = environment()
    style = "\n".join(template_source(templates, name) for name in STYLES)
    parts = "\n".join(template_source(templates, name) for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{parts}}})();\n'
    return templates.get_template("report/html/page.j2").render(
        title=printable(" + ".join(folder.resolve().name for folder in folders)),
        verdict=printable(verdict(report)),
        warnings=[printable(one.text) for one in arm_warnings(report)],
        data=script_json(page_json(report, gathered, texts, folders, sample)),
        phrases=texts.phrases,
        figures=figures(report),
        blocks={f"t{number}-{at}": block for (number, at), block in texts.blocks.items()},
        script=script,
        script_hash=source_hash(script),
        style=style,
        style_hash=source_hash(style),
    )


def sample_json(gathered: Sequence[JudgmentSet], texts: Texts, sample: TextSample) -> dict[str, Any]:
    """Return what was asked for, and for each kind of judgment how many there are and how many have texts."""
    every, held = np.zeros(len(KINDS), dtype=int), np.zeros(len(KINDS), dtype=int)
    for number, one in enumerate(gathered):
        kinds = kind_numbers(one)
        every += np.bincount(kinds, minlength=len(KINDS))
        held += np.bincount(kinds[[at for which, at in texts.blocks if which == number]], minlength=len(KINDS))
    kinds_json = [
        {"kind": kind, "texts": int(some), "all": int(whole)}
        for kind, some, whole in zip(KINDS, held, every, strict=True)
        if whole
    ]
    return {**asdict(sample), "kinds": kinds_json}


def page_json(
    report: Report, gathered: Sequence[JudgmentSet], texts: Texts, folders: Sequence[Path], sample: TextSample
) -> dict[str, Any]:
    """Return the data of the page, without figures and texts."""
    return {
        "invalid": INVALID_POLICIES[report.invalid],
        "facts": [asdict(fact) for fact in facts(report)],
        "cells": cells_json(report),
        "groups": groups_json(report),
        "repeats": repeats_json(report),
        "effects": effects_json(report),
        "explanations": explanations_json(report),
        "power": {"sizes": list(SIZES), "groups": power_json(report)},
        "calibration": calibration_json(report),
        "breakdowns": breakdowns_json(report),
        "health": health_json(report),
        "collections": [one.as_json() for one in gathered],
        "texts": [sum(number == which for which, _ in texts.blocks) for number in range(len(gathered))],
        "sample": sample_json(gathered, texts, sample),
        "provenance": provenance_json(report, folders),
        "headings": {role.code: role.heading for scheme in (SEVEN, BUILD) for role in scheme.roles},
    }


def script_json(value: object) -> str:
    """Serialise to JSON for a script element: ASCII, without any character that could end the element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def pack(value: Any) -> str:
    """Encode a value as a block."""
    return base64.b64encode(zlib.compress(json.dumps(value, separators=(",", ":")).encode("ascii"), 5)).decode("ascii")


def pack_texts(
    report: Report,
    gathered: Sequence[JudgmentSet],
    held: Mapping[int, Judgments],
    chosen: Sequence[Place],
    megabytes: float,
) -> Texts:
    """Pack the texts of as many of the chosen judgments as fit, in their order.

    Args:
        report: Report whose cells have the rows.
        gathered: Judgments of each corpus, with the texts of the chosen ones.
        held: Number of a cell -> its judgments.
        chosen: Judgments (`legalrr.report.html.sample`).
        megabytes: Size limit of the blocks.

    Raises:
        UserError: A predictions file changed since it was read, or a text of its prompts is missing.
    """
    room = int(megabytes * MEGABYTE)
    blocks: dict[Place, str] = {}
    phrases = Phrases()
    with progress("report.html", len(chosen), "judgments") as advance:
        for start in range(0, len(chosen), BATCH):
            some = chosen[start : start + BATCH]
            for place, record in _records(report, gathered, held, some, phrases):
                block = pack(record)
                room -= len(block)
                if room < 0:
                    return Texts(blocks=blocks, phrases=pack(list(phrases.shared)))
                blocks[place] = block
            advance(len(some))
    return Texts(blocks=blocks, phrases=pack(list(phrases.shared)))


def _records(
    report: Report,
    gathered: Sequence[JudgmentSet],
    held: Mapping[int, Judgments],
    places: Sequence[Place],
    phrases: Phrases,
) -> list[tuple[Place, dict[str, Any]]]:
    """Return the records of some judgments, in the order of `places`."""
    found = {
        (number, at): Conversations(
            judgment=f"{number} {gathered[number].ids[at]}",
            record=gathered[number].records.get(gathered[number].ids[at]),
            phrases=phrases,
        )
        for number, at in places
    }
    for number, one in enumerate(gathered):
        wanted = {one.ids[at]: at for which, at in places if which == number}
        for cell in one.answers:
            for id, row in read_rows(report.cells[cell], wanted, held.get(cell)).items():
                found[number, wanted[id]].add(cell, row)
    return [(place, conversations.as_json()) for place, conversations in found.items()]


STUDY = (
    "Khatri, Yusuf, Shah, Kumaraguru: Structured Definitions and Segmentations for Legal Reasoning in LLMs: "
    "A Study on Indian Legal Data, arXiv 2511.20669"
)


def provenance_json(report: Report, folders: Sequence[Path]) -> dict[str, Any]:
    """Return commands, versions, seeds, stage identities, and licence and citation of the corpora.

    Raises:
        UserError: The multirun.yaml of a folder or the overrides of a cell are not valid YAML.
    """
    corpora = dict.fromkeys(cell.setup.corpus for cell in report.cells if cell.setup is not None)
    return {
        "folders": [{"name": folder.resolve().name, "command": _command(folder)} for folder in folders],
        "versions": _versions(report),
        "cells": [_cell(cell) for cell in report.cells],
        "corpora": [_corpus(name) for name in corpora],
        "study": STUDY,
    }


def _command(folder: Path) -> str | None:
    """Return the command that made a folder from Hydra's record, without the output folder; None without a record."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    for path, key in (
        (folder / "multirun.yaml", "hydra.overrides.task"),
        (folder / ".hydra" / "hydra.yaml", "hydra.overrides.task"),
    ):
        if path.is_file():
            try:
                recorded = OmegaConf.select(OmegaConf.load(path), key, default=[])
            except (YAMLError, OmegaConfBaseException, ValueError, TypeError, OSError, RecursionError) as error:
                raise UserError("not valid YAML", where=str(path), cure="delete the file") from error
            if not isinstance(recorded, Sequence) or isinstance(recorded, str):
                raise UserError(f"no list under {key}", where=str(path), cure="delete the file")
            return " ".join(["legalrr", *(str(one) for one in recorded if not str(one).startswith("runs="))])
    return None


def _versions(report: Report) -> list[dict[str, Any]]:
    """Return the distinct sets of package versions, each with its cells."""
    found: list[dict[str, Any]] = []
    for number, cell in enumerate(report.cells):
        versions = cell.run.get("versions")
        if not versions:
            continue
        same = next((one for one in found if one["versions"] == versions), None)
        if same is None:
            found.append({"versions": versions, "cells": [number]})
        else:
            same["cells"].append(number)
    return found


def _cell(cell: RunResult) -> dict[str, Any]:
    stages = cell.run.get("stages", {})
    return {
        "seed": None if cell.setup is None else cell.setup.seed,
        "limit": None if cell.setup is None else cell.setup.limit,
        "identities": {name: str(stage.get("identity", "")) for name, stage in stages.items()},
        "provenance": cell.run.get("provenance", {}),
        "judgments": cell.run.get("judgments", {}).get("sha256"),
    }


def _corpus(name: str) -> dict[str, str]:
    try:
        found = card(name)
    except UserError:
        return {"name": name, "what": "", "licence": "not stated: no corpus of conf/corpus", "citation": ""}
    return {"name": name, "what": found.what, "licence": found.licence, "citation": found.citation}
