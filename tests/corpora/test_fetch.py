"""Downloads from a server on loopback."""

from dataclasses import replace

import pytest

from legalrr.corpora import fetch as module
from legalrr.corpora.fetch import ATTEMPTS, SOURCES, Source, fetch, find_source

BIG = bytes(range(256)) * 1000


@pytest.fixture
def origin(tmp_path, monkeypatch, server):
    server.files = {"LICENSE": b"free\n", "dataset/in/a b.txt": BIG}
    server.manifest(tmp_path, "marro")
    monkeypatch.setattr(module, "root", lambda: tmp_path)
    return Source(name="marro", url=server.url, strip="dataset/")


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_files_are_fetched_without_the_published_prefix(origin, tmp_path):
    steps = []
    assert fetch(origin, tmp_path / "to", progress=steps.append) == 2
    assert files(tmp_path / "to") == {"LICENSE": b"free\n", "in/a b.txt": BIG}
    assert sum(steps) == len(BIG) + 5


def test_verified_files_are_not_fetched_again(origin, tmp_path, server):
    fetch(origin, tmp_path / "to")
    server.requests.clear()
    (tmp_path / "to" / "LICENSE").write_bytes(b"fred\n")
    steps = []
    assert fetch(origin, tmp_path / "to", progress=steps.append) == 1
    assert [path for path, _, _ in server.requests] == ["/LICENSE"]
    assert files(tmp_path / "to")["LICENSE"] == b"free\n"
    assert sum(steps) == len(BIG) + 5


def test_another_server_can_be_named(origin, tmp_path, server):
    elsewhere = replace(origin, url="http://127.0.0.1:9/nothing")
    assert fetch(elsewhere, tmp_path / "to", base_url=server.url + "/") == 2


def test_a_broken_download_is_resumed(origin, tmp_path, server):
    server.drop_after, server.drops = 100_000, 3
    steps = []
    assert fetch(origin, tmp_path / "to", progress=steps.append) == 2
    assert files(tmp_path / "to")["in/a b.txt"] == BIG
    assert [wanted for path, wanted, _ in server.requests if "a%20b" in path] == [
        None,
        "bytes=100000-",
        "bytes=200000-",
    ]
    assert sum(steps) == len(BIG) + 5


def test_repeated_failures_leave_a_part_for_the_next_run(origin, tmp_path, server, user_error):
    server.drop_after, server.drops = 1000, 1 + ATTEMPTS
    with user_error("a%20b.txt", f"broke at {1000 * ATTEMPTS} of {len(BIG)} bytes", "run the same command again"):
        fetch(origin, tmp_path / "to")
    assert set(files(tmp_path / "to")) == {"LICENSE", "in/a b.txt.part"}
    server.requests.clear()
    assert fetch(origin, tmp_path / "to") == 1
    assert [wanted for _, wanted, _ in server.requests] == [f"bytes={1000 * ATTEMPTS}-"]
    assert files(tmp_path / "to")["in/a b.txt"] == BIG


def test_a_server_without_ranges_restarts_the_download(origin, tmp_path, server):
    server.ranges, server.drop_after, server.drops = False, 1000, 2
    steps = []
    fetch(origin, tmp_path / "to", progress=steps.append)
    assert files(tmp_path / "to")["in/a b.txt"] == BIG
    assert sum(steps) == len(BIG) + 5


@pytest.mark.parametrize("wrong", [BIG[:-1] + b"x", BIG + b"x", BIG * 2])
def test_a_file_with_a_wrong_checksum_is_rejected_and_deleted(origin, tmp_path, server, user_error, wrong):
    server.files["dataset/in/a b.txt"] = wrong
    with user_error("the checksum of dataset/in/a b.txt differs", "deleted"):
        fetch(origin, tmp_path / "to")
    assert set(files(tmp_path / "to")) == {"LICENSE"}


@pytest.mark.parametrize("stale", [BIG + b"x", b"x" * len(BIG)])
def test_an_invalid_part_is_deleted(origin, tmp_path, write, stale):
    write("to/in/a b.txt.part", stale)
    assert fetch(origin, tmp_path / "to") == 2
    assert files(tmp_path / "to")["in/a b.txt"] == BIG


def test_a_complete_part_needs_no_request(origin, tmp_path, write, server):
    write("to/in/a b.txt.part", BIG)
    fetch(origin, tmp_path / "to")
    assert [path for path, _, _ in server.requests] == ["/LICENSE"]


@pytest.mark.parametrize("status", [401, 403])
def test_the_error_names_the_page_with_the_terms(origin, tmp_path, server, user_error, status):
    server.status = status
    with user_error(str(status), "accept the terms on https://hub/page", "HF_TOKEN"):
        fetch(replace(origin, page="https://hub/page"), tmp_path / "to")
    with user_error(str(status), "--base-url"):
        fetch(origin, tmp_path / "to")


def test_an_unreachable_server_is_reported_on_one_line(origin, tmp_path, user_error):
    with user_error("broke at 0 of 5 bytes", "refused"):
        fetch(origin, tmp_path / "to", base_url="http://127.0.0.1:9")


def test_the_token_is_sent_only_to_a_gated_source_and_its_host(origin, tmp_path, server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    gated = replace(origin, page="https://hub/page")
    server.redirect = server.url + "/moved"
    fetch(gated, tmp_path / "same")
    assert {token for _, _, token in server.requests} == {"Bearer secret"}
    server.requests.clear()
    server.redirect = server.url.replace("127.0.0.1", "localhost") + "/moved"
    fetch(gated, tmp_path / "other")
    assert {(path.startswith("/moved"), token) for path, _, token in server.requests} == {
        (False, "Bearer secret"),
        (True, None),
    }
    server.requests.clear()
    fetch(origin, tmp_path / "open")
    assert {token for _, _, token in server.requests} == {None}


def test_shipped_manifests_list_valid_paths():
    counts = {}
    for one in SOURCES:
        items = one.manifest()
        counts[one.name] = len(items)
        for item in items:
            assert not item.path.startswith(("/", ".."))
            assert len(item.sha1) == 40
            assert item.size > 0
    assert counts == {"lawai50": 52, "marro": 22, "build": 2}


def test_a_corpus_that_cannot_be_fetched_is_rejected(user_error):
    with user_error("'predex' cannot be fetched", "lawai50, marro, build"):
        find_source("predex")
