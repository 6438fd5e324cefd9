import gzip
import hashlib
import json
from pathlib import Path

import pytest

from legalrr.report.compare import read_report

HOSTILE = (
    '<script>window.planted = 1</script></script><img src=x onerror="window.planted=2"> & &lt;b&gt; "\' <!-- ]]> '
    "\x00\x07\x1b[31m\x7f\x85 \u202etfel\u2066 \u2028 \ufeff. הערעור נדחה. अपील खारिज। 𝒜 \ud800"
)
"""Text that a corpus or a model may contain."""
FACTS, RULING = "The appellant sold a horse. It was lame.", "The appeal is allowed."


def judged(number: int, said: str, *, title: str = "") -> dict[str, object]:
    """Return the text, prompts and offsets of one judgment."""
    text = f"{FACTS} {title}{HOSTILE} {RULING} Judgment {number}."
    end = text.index(RULING)
    prompt = [
        {"role": "system", "content": "You are a judge of the Supreme Court of India, and you decide."},
        {"role": "user", "content": f'The judgment:\n"""\n{text[:end].strip()}\n"""\n\nWrite the Analysis.'},
        {"role": "assistant", "content": f"It was lame, and so {HOSTILE}"},
        {"role": "user", "content": "A case that is allowed, even in part, is decided for the party. YES or NO?"},
    ]
    return {"text": text, "shown": len(text[:end].strip()), "end": end, "messages": prompt, "said": said}


def enrich(folder: Path, *, layout: str = "conversation", judgments: bool = True, id_of=lambda id: id) -> None:
    """Add to a finished cell what a run writes: prompts, answers, offsets, and the judgments' file."""
    path = folder / "predictions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lines = []
    for number, row in enumerate(rows):
        said = {"allowed": "YES", "dismissed": "NO", "invalid": "Undecided."}[row["verdict"]]
        record = judged(number, said)
        row["id"] = id_of(row["id"])
        row["court"], row["year"], row["kind"], row["confidence"] = f"Court {HOSTILE}", 1980 + number, "land", "high"
        row["length"] = len(record["text"])
        row["shown"] = [["FAC", 0, record["shown"]]]
        row["hidden"] = [[record["end"], record["end"] + len(RULING), "RPC", "role"]]
        turn = {"finish_reason": "stop", "prompt_tokens": 50, "cached_tokens": 20, "new_tokens": 4, "seconds": 0.1}
        row["turns"] = [
            {"name": "analysis", "text": record["messages"][2]["content"], **turn},
            {"name": "answer", "text": f"𝒜 {said}", **turn},
        ]
        row["span"] = [2, 2 + len(said)] if row["verdict"] != "invalid" else None
        row["messages"] = record["messages"]
        row["earlier"] = []
        if layout == "study":
            whole = "\n\n".join(message["content"] for message in record["messages"][1:])
            row["messages"] = [record["messages"][0], {"role": "user", "content": whole}]
            first = record["messages"][1]["content"]
            system = record["messages"][0]["content"]
            row["earlier"] = [
                {"turn": "analysis", "messages": [["system", len(system), ""], ["user", len(first) - 9, first[-9:]]]}
            ]
        lines.append(
            {"id": row["id"], "text": record["text"], "petitioner": "Ram Lal", "spans": None, "scheme": "build"}
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if judgments:
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        (folder / "judgments.jsonl.gz").write_bytes(gzip.compress(data))
        run = json.loads((folder / "run.json").read_text())
        run["judgments"] = {"file": "judgments.jsonl.gz", "sha256": hashlib.sha256(data).hexdigest()}
        run["versions"] = {"python": "3.11", "legalrr": f"0.1 {HOSTILE}"}
        run["calls"] = {"made": 12, "stored": 0}
        (folder / "run.json").write_text(json.dumps(run))


@pytest.fixture
def report(sweep):
    """Three arms, one of them with probabilities, and a baseline, on judgments of a hostile corpus."""
    enrich(sweep.cell(0, answers="AAADDDDDDAAA"))
    enrich(sweep.cell(1, "dr", "AAAAADDDDDA-"), layout="study")
    enrich(sweep.cell(2, "direct_compare", row={"p_allowed": 0.75}))
    sweep.cell(3, "majority", "A" * 12, backbone="-")
    return read_report([sweep.folder])
