"""vLLM's server on loopback: choices in both dialects, and log-probabilities of answers.

`make test-vllm` makes the environment that this needs.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec

import pytest

from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.conversations import CallList
from legalrr.protocols import Call

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.server,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed (make test-vllm)"),
]
CONTEXT = 2048
TOLERANCE = 2e-4
"""As in test_vllm_cpu."""
READY_SECONDS = 1200
"""Timeout for the start of the server, which takes a minute on an idle machine."""
FACTS = "The tenant paid no rent for a year. The landlord sued, and lost in both courts below."
QUESTIONS = [f"{FACTS} Answer YES or NO: {question}" for question in ("was rent paid?", "did the landlord win?")]


@pytest.fixture(scope="module")
def url(shipped, tmp_path_factory):
    """URL of the server."""
    # The server binds its port first, so another process is unlikely to take it.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "log"
    options = ("--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--max-model-len", str(CONTEXT))
    memory = ("--kv-cache-memory-bytes", "1000000000", "--enforce-eager", "--generation-config", "vllm")
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", shipped, *options, *memory]
    quiet = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("w") as written:
        # In its own session, so that its child processes end with it.
        process = subprocess.Popen(command, stdout=written, stderr=written, env=quiet, start_new_session=True)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _up(port):
            assert process.poll() is None, f"the server ended: {log.read_text()}"
            assert time.monotonic() < deadline, f"the server is not up after {READY_SECONDS} s: {log.read_text()}"
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _up(port):
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/health"):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.fixture
def far(shipped, url, monkeypatch):
    """Function (**options) that returns an engine for the server."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def engine(**options):
        fixed = {"base_url": url, "context": CONTEXT, "tokenizer": shipped, "temperature": 0.0}
        return OpenAIBackbone(name="far", model=shipped, **fixed, **options).load()

    return engine


@pytest.fixture(scope="module")
def near(shipped):
    forget_engine()
    return TransformersBackbone(name="near", model=shipped, context=CONTEXT).load()


def ask(**fields):
    return [
        Call(key=question, messages=({"role": "user", "content": question},), max_new_tokens=16, **fields)
        for question in QUESTIONS
    ]


def replies(batches):
    return {key: reply for batch in batches for key, reply in batch}


def test_free_and_constrained_answers_equal_those_in_process(far, near):
    for calls in (ask(), ask(choices=("YES", "NO"))):
        got, wanted = (
            replies(far(structured="structured_outputs").answer(CallList(calls))),
            replies(near.answer(CallList(calls))),
        )
        assert {key: (reply.text, reply.finish_reason, reply.prompt_tokens) for key, reply in got.items()} == {
            key: (reply.text, reply.finish_reason, reply.prompt_tokens) for key, reply in wanted.items()
        }


def test_a_json_schema_restricts_answers_too(far):
    got = replies(far(structured="json_schema").answer(CallList(ask(choices=("It is so", "It is not so")))))
    assert {reply.finish_reason for reply in got.values()} == {"stop"}
    assert {reply.text for reply in got.values()} <= {"It is so", "It is not so"}


def test_logprobs_equal_those_in_process(far, near):
    calls = ask(answers=("YES", "NO", "Nobody knows"))
    got, wanted = replies(far(logprobs="echo").answer(CallList(calls))), replies(near.answer(CallList(calls)))
    for call in calls:
        assert got[call.key].logprobs == pytest.approx(wanted[call.key].logprobs, abs=TOLERANCE)
