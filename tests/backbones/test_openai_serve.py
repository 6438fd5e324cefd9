"""A real server on loopback, `transformers serve`, against the same model in this process."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec

import pytest
from hydra import compose, initialize_config_dir

from legalrr.cell import run_cell
from legalrr.pipeline import build_pipeline
from legalrr.places import root

MISSING = [package for package in ("fastapi", "uvicorn") if find_spec(package) is None]

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(
        bool(MISSING), reason=f"transformers serve needs {' and '.join(MISSING)}: pip install 'transformers[serving]'"
    ),
]


@pytest.fixture(scope="module")
def folder(save_tiny, tmp_path_factory):
    """A tiny model with room for a whole judgment, a token per byte."""
    path = save_tiny(tmp_path_factory.mktemp("long"))
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 32768}))
    return path


@pytest.fixture(scope="module")
def url(folder, tmp_path_factory):
    """Address of the server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    options = ("--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32")
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder), *options]
    with log.open("w") as written, subprocess.Popen(command, stdout=written, stderr=written) as process:
        try:
            while not _up(port):
                assert process.poll() is None, log.read_text()
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def _up(port):
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/health"):
            return True
    except urllib.error.URLError:
        return False


def said(out, *overrides):
    """What a cell's model said, turn by turn."""
    tokens = [f"annotate.tokens.{turn}=6" for turn in ("analysis", "ratio", "ruling", "answer")]
    chosen = ("limit=2", "predict.group=2", *tokens, f"runs={out}", *overrides)
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        run_cell(build_pipeline(compose("config", list(chosen))), out / "cell")
    rows = [json.loads(line) for line in (out / "cell" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    return [[(turn["name"], turn["text"], turn["prompt_tokens"]) for turn in row["turns"]] for row in rows]


@pytest.mark.parametrize("arm", ["plain", "rc"])
def test_a_cell_over_transformers_serve_says_what_the_same_model_says_in_process(
    arm, folder, url, tmp_path, monkeypatch
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    model = (f"arm={arm}", f"backbone.model={folder}", "backbone.context=32768")
    served = ("backbone=openai_local", f"backbone.base_url={url}", f"backbone.tokenizer={folder}")
    far = said(tmp_path / "far", *model, *served)
    assert far == said(tmp_path / "near", *model, "backbone=local")
    assert all(text for turns in far for _, text, _ in turns)
