"""A real server, `transformers serve` on loopback, against the same model in this process."""

import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

MISSING = [package for package in ("fastapi", "uvicorn") if find_spec(package) is None]
READY_SECONDS = 600
"""Timeout for the start of the server, which takes seconds on an idle machine."""
LISTENING = re.compile(r"running on (http://127\.0\.0\.1:\d+)")

pytestmark = [
    pytest.mark.model,
    pytest.mark.server,
    pytest.mark.skipif(
        bool(MISSING), reason=f"transformers serve needs {' and '.join(MISSING)}: pip install 'transformers[serving]'"
    ),
]


@pytest.fixture(scope="module")
def url(shipped, tmp_path_factory):
    """URL of the server, with a free port."""
    log = tmp_path_factory.mktemp("serve") / "log"
    options = ("--host", "127.0.0.1", "--port", "0", "--device", "cpu", "--dtype", "float32")
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", shipped, *options]
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    with log.open("w") as written, subprocess.Popen(command, stdout=written, stderr=written, env=offline) as process:
        try:
            yield f"{_address(process, log)}/v1"
        finally:
            process.kill()


def _address(process, log):
    """Wait for the server to listen, and return its URL."""
    deadline = time.monotonic() + READY_SECONDS
    while (said := LISTENING.search(log.read_text())) is None:
        assert process.poll() is None, f"the server ended: {log.read_text()}"
        assert time.monotonic() < deadline, f"the server is not up after {READY_SECONDS} s: {log.read_text()}"
        time.sleep(0.1)
    return said[1]


def test_a_sweep_over_transformers_serve_equals_one_in_process(shipped, url, sweep, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    arms = ("plain", "direct")
    named = (f"backbone.model={shipped}", "backbone.context=8192")
    served = ("backbone=local", "engine=server", f"backbone.base_url={url}", f"backbone.tokenizer={shipped}")
    far = sweep(tmp_path / "far", arms, *named, *served)
    near = sweep(tmp_path / "near", arms, *named, "backbone=local")
    kept = ("name", "text", "finish_reason", "prompt_tokens", "new_tokens")
    assert {key: [[turn[name] for name in kept] for turn in turns] for key, turns in far.items()} == {
        key: [[turn[name] for name in kept] for turn in turns] for key, turns in near.items()
    }
    assert sorted(len(turns) for turns in far.values()) == [1, 1, 2, 2]
    assert all(turn["text"] and turn["finish_reason"] != "overflow" for turns in far.values() for turn in turns)
