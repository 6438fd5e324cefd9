"""Make the calls of cells with vLLM, and write the seconds: the other side of benchmarks/backbones.py.

    python vllm_side.py CELLS.json OUT.json

CELLS.json has the overrides of each cell. Starting vLLM and its first request are not timed.
"""

import json
import sys
import time
from pathlib import Path

from hydra import compose, initialize_config_dir

from legalrr.conversations import CallList
from legalrr.paths import root
from legalrr.protocols import Call
from legalrr.run.pipeline import build_pipeline
from legalrr.run.prefetch import prefetch_cells


def main() -> None:
    """Run the cells."""
    overrides = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        cells = [build_pipeline(compose("config", one)) for one in overrides]
    engine = cells[0].backbone.load()
    warm = Call(key="warm", messages=({"role": "user", "content": "Is it so? " * 40},), max_new_tokens=4)
    list(engine.answer(CallList([warm])))
    fresh: set[str] = set()
    started = time.perf_counter()
    prefetch_cells(cells, engine, fresh)
    seconds = time.perf_counter() - started
    Path(sys.argv[2]).write_text(json.dumps({"seconds": seconds, "calls": len(fresh)}), "utf-8")


if __name__ == "__main__":
    main()
