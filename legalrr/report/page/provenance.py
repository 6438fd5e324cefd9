"""Where the figures come from: commands, versions, seeds, identities of the stages, and whom to cite."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from legalrr.corpora.catalogue import card
from legalrr.errors import UserError
from legalrr.report.cells import Cell
from legalrr.report.groups import Report

STUDY = (
    "Khatri, Yusuf, Shah, Kumaraguru: Structured Definitions and Segmentations for Legal Reasoning in LLMs: "
    "A Study on Indian Legal Data, arXiv 2511.20669"
)


def provenance_json(report: Report, folders: Sequence[Path]) -> dict[str, Any]:
    """Provenance of a report that was read from these folders.

    Raises:
        UserError: a folder's multirun.yaml, or a cell's overrides, is no YAML.
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
    """The command that made a folder, as far as Hydra noted it, without the place of the results."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    for path, key in (
        (folder / "multirun.yaml", "hydra.overrides.task"),
        (folder / ".hydra" / "hydra.yaml", "hydra.overrides.task"),
    ):
        if path.is_file():
            try:
                noted = OmegaConf.select(OmegaConf.load(path), key, default=[])
            except (YAMLError, OmegaConfBaseException) as error:
                raise UserError("no YAML", where=str(path), cure="delete the file") from error
            return " ".join(["legalrr", *(str(one) for one in noted if not str(one).startswith("runs="))])
    return None


def _versions(report: Report) -> list[dict[str, Any]]:
    """Package -> version, one entry per distinct set, with the cells that it is of."""
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


def _cell(cell: Cell) -> dict[str, Any]:
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
