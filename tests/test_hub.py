"""Models of the Hugging Face hub by name: a hub on loopback, read by the real client in processes of their own."""

import json
import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from legalrr import hub as module
from legalrr.errors import UserError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def hub():
    spec = spec_from_file_location("hub_on_loopback", Path(__file__).with_name("hub.py"))
    assert spec is not None
    assert spec.loader is not None
    loopback = module_from_spec(spec)
    sys.modules[spec.name] = loopback
    spec.loader.exec_module(loopback)
    server = loopback.Hub()
    yield server
    server.close()


@pytest.fixture
def run(hub, tmp_path):
    """Return a function (*arguments, **environment) that runs Python, with hub and cache of the test."""

    def call(*arguments, **environment):
        before = len(hub.requests)
        given = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0", **environment}
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, **given},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        done.requests = hub.requests[before:]
        return done

    return call


FETCH = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
from legalrr.errors import UserError
from legalrr.hub import download, resolve_commit
try:
    commit = resolve_commit(sys.argv[1], None, where="backbone.revision")
    print(commit, sorted(file.name for file in download(sys.argv[1], commit, where="backbone.model").iterdir()))
except UserError as error:
    print(error)
"""


@pytest.fixture
def fetch(run):
    """Return a function (repo, **environment) that resolves main and downloads a model: (output, log, requests)."""

    def call(repo="owner/model", **environment):
        done = run("-c", FETCH, repo, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), done.stderr, done.requests

    return call


MODEL = {
    "config.json": b"{}",
    "model.safetensors": b"w" * 50_000,
    "consolidated.safetensors": b"w",
    "pytorch.bin": b"p",
}


def test_main_is_resolved_and_its_files_are_downloaded_once(hub, fetch):
    commit = hub.add("owner/model", MODEL)
    out, log, requests = fetch()
    assert out == f"{commit} ['config.json', 'model.safetensors']"
    assert f"main is commit {commit}" in log
    assert "2 files" in log
    assert {path.rsplit("/", 1)[1] for method, path in requests if method == "GET" and "/resolve/" in path} == {
        "config.json",
        "model.safetensors",
    }
    again, _, requests = fetch()
    assert again == out
    assert not [path for _, path in requests if "/resolve/" in path]


def test_offline_the_commit_of_the_last_time_counts_without_a_request(hub, fetch):
    hub.add("owner/model", MODEL)
    out, *_ = fetch()
    assert fetch(HF_HUB_OFFLINE="1")[::2] == (out, [])


def test_without_a_network_the_commit_of_the_last_time_counts_with_a_warning(hub, fetch):
    hub.add("owner/model", MODEL)
    out, *_ = fetch()
    again, log, _ = fetch(HF_ENDPOINT=NOBODY)
    assert again == out
    assert "Could not reach the Hub" in log


def test_a_branch_that_has_moved_is_said(hub, fetch):
    former = hub.add("owner/model", MODEL)
    fetch()
    latter = hub.add("owner/model", {**MODEL, "config.json": b"{ }"})
    out, log, _ = fetch()
    assert out.startswith(latter)
    assert f"WARNING owner/model: main has moved from commit {former} to {latter}" in log
    assert f"use backbone.revision={former} for the former" in log


@pytest.mark.parametrize(
    ("repo", "environment", "words"),
    [
        ("owner/none", {}, ("backbone.revision: the hub has no model owner/none, or it is private", "HF_TOKEN")),
        ("owner/gated", {}, ("backbone.model: owner/gated requires that its terms are accepted", "hf auth login")),
        ("owner/model", {"HF_ENDPOINT": NOBODY}, ("owner/model is not here, and the hub cannot be reached", "network")),
        ("owner/model", {"HF_HUB_OFFLINE": "1"}, ("owner/model is not here, and HF_HUB_OFFLINE is set",)),
    ],
)
def test_a_model_that_cannot_be_had_is_one_line_with_the_cure(hub, fetch, repo, environment, words):
    hub.add("owner/model", MODEL)
    hub.add("owner/gated", MODEL)
    hub.repositories["model", "owner/gated"].gated = True
    out, *_ = fetch(repo, **environment)
    assert len(out.splitlines()) == 1
    for word in words:
        assert word in out


def test_a_broken_download_is_one_line_and_ends_by_the_same_command(hub, fetch):
    commit = hub.add("owner/model", MODEL)
    hub.cut_after = 20_000
    out, *_ = fetch()
    assert out.startswith("backbone.model: the download of owner/model broke")
    assert "run the same command again" in out
    hub.cut_after = None
    assert "are incomplete, and HF_HUB_OFFLINE is set" in fetch(HF_HUB_OFFLINE="1")[0]
    assert fetch()[0] == f"{commit} ['config.json', 'model.safetensors']"


def test_a_commit_is_not_asked_for(no_network):
    assert module.resolve_commit("owner/model", COMMIT, where="backbone.revision") == COMMIT


@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT[:12]])
def test_pinned_demands_a_commit(no_network, revision):
    with pytest.raises(UserError, match=r"backbone\.revision: .* is not a commit, and pinned=true demands one"):
        module.resolve_commit("owner/pinned", revision, pinned=True, where="backbone.revision")


def test_too_small_a_disk_is_named_before_the_download(tmp_path):
    class Wanted:
        file_size = 10**18

    with pytest.raises(UserError, match=r"owner/model needs 1000000000\.0 GB for 1 files, .* set HF_HOME"):
        module._check_space("owner/model", [Wanted()], 10**18, tmp_path / "not" / "yet", "backbone.model")


def model_files(folder: Path, **changes: object) -> dict[str, bytes]:
    config = json.loads((folder / "config.json").read_text()) | changes
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    return files | {"config.json": json.dumps(config).encode()}


def test_an_experiment_downloads_records_and_repeats_without_the_network(hub, run, tiny, tmp_path):
    commit = hub.add("owner/tiny", model_files(tiny, max_position_embeddings=8192))
    command = (
        "-m", "legalrr", "experiment=paper", "arm=plain,direct", "corpus=specimen", "backbone=local", "limit=2",
        "backbone.model=owner/tiny", "backbone.name=tiny",
        "annotate.tokens={analysis: 2, ratio: 2, ruling: 2, answer: 2}", f"runs={tmp_path / 'runs'}",
        "score.resamples=99", "score.permutations=99",
    )  # fmt: skip
    first = run(*command)
    assert first.returncode == 0, first.stderr
    assert f"main is commit {commit}" in first.stdout + first.stderr

    def cells():
        last = max((tmp_path / "runs" / "sweep").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
        return [json.loads(file.read_text()) for file in sorted(last.glob("*/run.json"))]

    records = cells()
    assert len(records) == 2
    assert {record["provenance"]["backbone"]["revision"] for record in records} == {commit}
    assert {record["stages"]["backbone"]["fields"]["revision"] for record in records} == {commit}
    assert sum(record["calls"]["made"] for record in records) > 0

    offline = run(*command, HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr
    assert offline.requests == []
    assert sum(record["calls"]["made"] for record in cells()) == 0

    latter = hub.add("owner/tiny", model_files(tiny, max_position_embeddings=8191))
    moved = run(*command)
    assert moved.returncode == 0, moved.stderr
    assert f"has moved from commit {commit} to {latter}" in moved.stdout + moved.stderr
    assert {record["provenance"]["backbone"]["revision"] for record in cells()} == {latter}
    assert sum(record["calls"]["made"] for record in cells()) > 0


def test_a_data_set_is_read_at_its_commit_with_and_without_the_network(hub, run):
    card = b"---\nconfigs:\n- config_name: cjpe\n  data_files:\n  - split: test\n    path: cjpe/*.csv\n---\n"
    rows = b"id,text,label\nj1,The appellant sold a horse.,1\nj2,The appellant let a shop.,0\n"
    commit = hub.add("owner/set", {"README.md": card, "cjpe/test.csv": rows, "other/big.csv": b"x" * 9}, kind="dataset")
    code = """
import legalrr, sys
corpus = legalrr.load_corpus("iltur_cjpe", overrides=["corpus.hub=owner/set"])
print([(j.id, j.outcome) for j in corpus], corpus.reader.resolved().revision)
"""
    done = run("-c", code)
    assert done.stdout.strip() == f"[('j1', 'allowed'), ('j2', 'dismissed')] {commit}", done.stderr
    assert not [path for _, path in done.requests if path.endswith("big.csv")]
    offline = run("-c", code, HF_HUB_OFFLINE="1")
    assert offline.stdout == done.stdout, offline.stderr
    assert offline.requests == []
