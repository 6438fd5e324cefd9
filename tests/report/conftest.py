import json
from pathlib import Path

import pytest

from legalrr.predictions import Prediction
from legalrr.score.cases import answered_case
from legalrr.score.effects import ARMS
from legalrr.score.scorer import PredictionScorer

SETTINGS = {"confidence": 0.95, "resamples": 200, "permutations": 400, "seed": 0}
GOLD = "AAAAAADDDDDD"
RUNS = {
    "plain": ("AAAADDDDDDAA", "AAAAADDDDDDA", "AAADDDDDDDAA"),
    "dr": ("AAAAADDDDDDD", "AAAAAADDDDDD", "AAAAD-DDDDDD"),
}
COURT = "The court holds that the tenant paid the rent."
WORDS = {"A": "allowed", "D": "dismissed", "-": "invalid", "?": None}


def switched(arm):
    """Return stages with the switches of an arm as run.json records them; arms outside the factorial are direct."""
    on = ARMS.get(arm, "")
    order, content = ("role", "main") if "R" in on else ("document", "all")
    return {
        "annotate": {"fields": {"define": "D" in on, "chain": "C" in on, "direct": arm not in ARMS}},
        "restructure": {"fields": {"order": order, "content": content}},
    }


class Sweep:
    """Writes run folders as a run does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def cell(self, job, arm="plain", answers=GOLD, *, gold=GOLD, scored=True, stages=None, row=None, **changes):
        """Write a finished cell; `answers` and `gold`: a letter per judgment, A, D, - (invalid) or ? (unlabelled)."""
        folder = self.folder if job is None else self.folder / str(job)
        folder.mkdir(parents=True, exist_ok=True)
        model = changes.get("backbone", "tiny") != "-"
        cell = {
            "arm": arm,
            "label": {"plain": "none", "dr": "D/R"}.get(arm, arm),
            "family": "arm" if model else "baseline",
            "corpus": "specimen",
            "split": None,
            "segment": "gold",
            "backbone": "tiny",
            "layout": "conversation" if model else None,
            "order": "document",
            "reading": "strict",
            "overflow": "error" if model else None,
            "limit": None,
            "repetition": 1,
            "tokens": {"analysis": 48, "answer": 8} if model else {},
        }
        cell.update({key: value for key, value in changes.items() if key in cell})
        run = {
            "format": 1,
            "cell": cell,
            "seed": changes.get("seed", 0),
            "reference": changes.get("reference", "plain"),
            "settings": changes.get("settings", SETTINGS),
            "stages": switched(arm) if stages is None else stages,
            "seconds": changes.get("seconds", {"predict": 1.25}),
            **{name: changes[name] for name in ("measured", "counts") if name in changes},
        }
        rows = [
            {
                "id": f"case-{number}",
                "gold": WORDS[true],
                "verdict": WORDS[said],
                "reason": "unparsed" if said == "-" else "matched",
                "p_allowed": None,
                "turns": [
                    {"finish_reason": "stop", "prompt_tokens": 100, "cached_tokens": 7, "new_tokens": 3, "seconds": 0.1}
                ],
                "dropped_tokens": 0,
                "skipped": False,
                **(row or {}),
            }
            for number, (true, said) in enumerate(zip(gold, answers, strict=True))
        ]
        (folder / "run.json").write_text(json.dumps(run))
        (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if scored:
            labelled = [Prediction.from_json(row, where="test") for row in rows if row["gold"]]
            cases = [answered_case(one, where="test") for one in labelled]
            scores = PredictionScorer(**run["settings"]).score(cases)
            (folder / "scores.json").write_text(json.dumps(scores))
        return folder

    def explain(self, folder, turns, longer):
        """Add turns to a cell: for judgment i, i words of the court and `longer` others; nothing for the last one."""
        path, court = folder / "predictions.jsonl", COURT.lower().split()
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        references = []
        for number, row in enumerate(rows):
            text = " ".join(court[: number % 9] + ["other"] * longer)
            end = "length" if number == 0 else "overflow" if number == len(rows) - 1 else "stop"
            row["turns"] = [{**row["turns"][0], "name": turn, "text": text, "finish_reason": end} for turn in turns]
            roles = [{"name": turn, "role": "ANALYSIS", "text": COURT if number != 1 else ""} for turn in turns]
            references.append({"id": row["id"], "scheme": "build", "source": "gold", "turns": roles})
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "references.jsonl").write_text("".join(json.dumps(row) + "\n" for row in references))
        return folder

    def failed(self, job, what="out of memory", overrides=("arm=rc",)):
        """Write a cell that failed before writing run.json."""
        folder = self.folder / str(job)
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {one}\n" for one in overrides))
        (folder / "error.json").write_text(json.dumps({"what": what, "type": "MemoryError"}))
        return folder


@pytest.fixture
def sweep(tmp_path):
    """Writer of a sweep folder."""
    return Sweep(tmp_path / "sweep")


@pytest.fixture
def another(tmp_path):
    """Writer of a second sweep folder."""
    return Sweep(tmp_path / "sweep-b")


@pytest.fixture
def thrice(sweep):
    """Three runs of two arms with three seeds, and a deterministic baseline."""
    for number in range(3):
        stages = {"backbone": {"class": "x", "fields": {"seed": number}}}
        for place, (arm, runs) in enumerate(RUNS.items()):
            sweep.cell(10 * number + place, arm, runs[number], stages=stages, repetition=number + 1)
    sweep.cell(99, "majority", "A" * 12, backbone="-")
    return sweep
