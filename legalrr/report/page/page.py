"""A report as one HTML page: figures as JSON, the judgments' texts as compressed blocks, one style, one script.

Nothing comes from outside, and a content security policy lets nothing run but the page's own script. That puts every
text into the page as text; what stands in the head is escaped. The same run folders give the same bytes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from legalrr.inline import environment, shown, source_hash, template_source
from legalrr.report.groups import Report
from legalrr.report.page.analyses import SIZES, breakdowns_json, calibration_json, effects_json, power_json
from legalrr.report.page.explanations import explanations_json
from legalrr.report.page.health import health_json
from legalrr.report.page.judgments import Collection, collections
from legalrr.report.page.provenance import provenance_json
from legalrr.report.page.repeats import repeats_json
from legalrr.report.page.results import cells_json, groups_json, verdict
from legalrr.report.page.sources import read_judgments
from legalrr.report.page.texts import Texts, pack_texts
from legalrr.roles import BUILD, SEVEN
from legalrr.score.subsets import TREATMENTS

MEGABYTES = 12.0
"""Megabytes of prompts and answers in a page, unless another size is asked for."""
STYLES = ("report/page/base.css", "report/page/parts.css", "report/page/reader.css", "segment/roles.css")
SCRIPTS = tuple(
    f"report/page/{name}.js"
    for name in (
        "dom",
        "scale",
        "table",
        "results",
        "forest",
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
"""One after the other they are the page's script."""


def report_page(report: Report, folders: Sequence[Path], *, megabytes: float = MEGABYTES) -> str:
    """The page.

    Args:
        report: what was read from the folders.
        folders: the folders, for their names and commands.
        megabytes: what prompts and answers may take; 0 leaves them all out.

    Raises:
        UserError: a file of a folder is damaged.
    """
    gathered = collections(report, read_judgments(report.cells))
    texts = pack_texts(report, gathered, megabytes)
    templates = environment()
    style = "\n".join(template_source(templates, name) for name in STYLES)
    parts = "\n".join(template_source(templates, name) for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{parts}}})();\n'
    return templates.get_template("report/page/page.j2").render(
        title=shown(" + ".join(folder.resolve().name for folder in folders)),
        verdict=shown(verdict(report)),
        data=in_script(page_json(report, gathered, texts, folders)),
        phrases=texts.phrases,
        blocks={f"t{number}-{at}": block for (number, at), block in texts.blocks.items()},
        script=script,
        script_hash=source_hash(script),
        style=style,
        style_hash=source_hash(style),
    )


def page_json(report: Report, gathered: Sequence[Collection], texts: Texts, folders: Sequence[Path]) -> dict[str, Any]:
    """Everything that the page shows but the texts."""
    return {
        "invalid": TREATMENTS[report.invalid],
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
        "provenance": provenance_json(report, folders),
        "headings": {role.code: role.heading for scheme in (SEVEN, BUILD) for role in scheme.roles},
    }


def in_script(value: object) -> str:
    """JSON that may stand in a script element: ASCII, and without a character that could end it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
