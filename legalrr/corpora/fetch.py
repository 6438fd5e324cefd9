"""Download corpora with known checksums, and read data sets from the Hugging Face hub.

A manifest (data/manifests/<corpus>.csv) lists path, git blob SHA-1 and size of every file. A download is written to
<file>.part and resumed with an HTTP range request after an interruption. It is renamed to <file> only if size and SHA-1
match. Data sets of the hub are downloaded at a commit and read through `datasets`.
"""

import hashlib
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import quote, urlsplit

from legalrr.corpora.checks import select_splits
from legalrr.corpora.files import Row, read_csv_rows, require_columns
from legalrr.errors import UserError, file_errors
from legalrr.hub import download
from legalrr.paths import root

CARD = "README.md"
"""File of a data set whose metadata names its configs and their files."""
_SHA1, _SIZE = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9]{1,15}")
ATTEMPTS = 4
"""Number of requests per file; after that, the next run resumes the download."""
TIMEOUT = 60
"""Seconds without data after which a connection counts as broken."""
BLOCK = 1 << 16
"""Bytes read at a time."""
RAW = "https://raw.githubusercontent.com"
HUB = "https://huggingface.co/datasets/opennyaiorg/InRhetoricalRoles"

Progress = Callable[[int], None]


def hub_rows(
    hub: str,
    *,
    commit: str,
    config: str | None,
    data_files: Mapping[str, str],
    split: str | None,
    columns: list[str],
    where: str,
    options: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, Iterable[tuple[int, str, Row]]]]:
    """Yield each split of a hub data set with its rows as (number from 1, place for messages, values by column).

    Args:
        hub: owner/name of the data set.
        commit: commit, 40 hexadecimal digits.
        config: configuration (subset); None: the default one.
        data_files: split -> file; empty: as the data set defines.
        split: split to read; None: all.
        columns: required columns.
        where: corpus, for messages.
        options: as for `require_columns`.

    Raises:
        UserError: data set, split or column not found, no network, or terms not accepted.
    """
    import datasets

    # Read from the files at the commit: without the network, `datasets` would take whatever version it read last.
    files = _data_files(hub, commit, config, data_files, where)
    folder = download(hub, commit, kind="dataset", files=files, where=where)
    try:
        found = datasets.load_dataset(str(folder), config, data_files=dict(data_files) or None)
    except (datasets.exceptions.DatasetsError, OSError, ValueError) as error:
        raise UserError(
            f"cannot load the hub data set {hub}: {error}", where=where, cure="check config and data_files"
        ) from error
    for one in select_splits(split, found, corpus=where):
        require_columns(found[one].column_names, columns, where=f"{hub} {one}", options=options)
        yield one, ((number, f"{hub} {one} row {number}", row) for number, row in enumerate(found[one], start=1))


def _data_files(hub: str, commit: str, config: str | None, data_files: Mapping[str, str], where: str) -> list[str]:
    """Return the patterns of the files to download: those given, else those of the config by the card, else all."""
    if data_files:
        return [CARD, *data_files.values()]
    from huggingface_hub import DatasetCard

    path = download(hub, commit, kind="dataset", files=(CARD,), where=where) / CARD
    if not path.is_file():
        return ["*"]
    configs = DatasetCard.load(path).data.to_dict().get("configs") or []
    chosen = [one.get("data_files") for one in configs if one.get("config_name") == (config or "default")]
    if len(chosen) != 1 or not chosen[0]:
        return ["*"]
    files = [chosen[0]] if isinstance(chosen[0], str) else chosen[0]
    patterns = [CARD]
    for one in files:
        named = one.get("path") if isinstance(one, dict) else one
        patterns += named if isinstance(named, list) else [str(named)]
    return patterns


@dataclass(frozen=True, kw_only=True)
class Source:
    """Download source of a corpus."""

    name: str
    """Name of the corpus and of its manifest."""
    url: str
    """Address before a file's path: at a commit, or verified by the manifest alone."""
    strip: str = ""
    """Leading folder removed from the published paths."""
    page: str = ""
    """Page for accepting the terms of use; "" if there are none."""

    def manifest(self) -> list["ManifestEntry"]:
        """Read the manifest; raise UserError if it is invalid."""
        path = root() / "data" / "manifests" / f"{self.name}.csv"
        columns = ("path", "git_blob_sha1", "bytes")
        return [_parse_entry(row, where=where) for where, row in read_csv_rows(path, columns)]


@dataclass(frozen=True, kw_only=True)
class ManifestEntry:
    """A file of a manifest."""

    path: str
    """Path as published, with forward slashes."""
    sha1: str
    """SHA-1 of "blob <bytes>", a zero byte and the content, as git computes it."""
    size: int
    """Bytes."""

    def matches(self, file: Path) -> bool:
        """Return whether `file` exists with this size and SHA-1."""
        if not file.is_file() or file.stat().st_size != self.size:
            return False
        state = hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)
        with file.open("rb") as content:
            while block := content.read(BLOCK):
                state.update(block)
        return state.hexdigest() == self.sha1


def _parse_entry(row: Mapping[str, str], *, where: str) -> ManifestEntry:
    path = PurePosixPath(row["path"])
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in row["path"]:
        raise UserError(f"path {row['path']!r}", where=where, cure="give a path below the folder of the corpus")
    if not _SHA1.fullmatch(row["git_blob_sha1"]):
        raise UserError(f"git_blob_sha1 {row['git_blob_sha1']!r}", where=where, cure="give 40 hexadecimal digits")
    if not _SIZE.fullmatch(row["bytes"]):
        raise UserError(f"bytes {row['bytes']!r}", where=where, cure="give a whole number")
    return ManifestEntry(path=row["path"], sha1=row["git_blob_sha1"], size=int(row["bytes"]))


SOURCES = (
    Source(name="lawai50", url=f"{RAW}/Law-AI/semantic-segmentation/16d16b2c9bad824b527d4ffa3e94e029e282b133"),
    Source(
        name="marro",
        url=f"{RAW}/purbid/MARRO_Rhetorical-Role-Labeling/9e53f5802a9f4d91da1eb877d2356192f5943912",
        strip="dataset/",
    ),
    Source(name="build", url=f"{HUB}/resolve/main", page=HUB),
)


def find_source(name: str) -> Source:
    """Return the source of a corpus; raise UserError for a corpus that cannot be fetched."""
    for known in SOURCES:
        if known.name == name:
            return known
    names = ", ".join(known.name for known in SOURCES)
    raise UserError(
        f"{name!r} cannot be fetched",
        where="legalrr data fetch",
        cure=f"name {names}; `legalrr data list` describes how to get others",
    )


def fetch(origin: Source, folder: Path, *, base_url: str | None = None, progress: Progress = lambda count: None) -> int:
    """Download the files that are missing or do not match the manifest.

    Args:
        origin: source of the corpus.
        folder: destination; created if needed.
        base_url: server to use instead of `origin.url`.
        progress: called with the number of bytes received or already present; negative to take bytes back.

    Returns:
        Number of files downloaded.

    Raises:
        UserError: a file cannot be downloaded, or does not match the manifest.
    """
    fetched = 0
    for item in origin.manifest():
        target = folder / item.path.removeprefix(origin.strip)
        if item.matches(target):
            progress(item.size)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        url = f"{(base_url or origin.url).rstrip('/')}/{quote(item.path)}"
        _download(url, part, item, origin, progress)
        if not item.matches(part):
            part.unlink()
            raise UserError(
                f"the checksum of {item.path} differs from the manifest; the download was deleted",
                where=url,
                cure="try again; if the error persists, the published file has changed",
            )
        part.replace(target)
        fetched += 1
    return fetched


def _download(url: str, part: Path, item: ManifestEntry, origin: Source, progress: Progress) -> None:
    """Complete `part`, in several attempts if the connection breaks."""
    if part.exists() and part.stat().st_size >= item.size and not item.matches(part):
        part.unlink()
    have = _file_size(part)
    progress(have)
    broken: Exception | None = None
    for _ in range(ATTEMPTS):
        if part.exists() and have >= item.size:
            return
        try:
            _request_rest(url, part, have, item=item, origin=origin, progress=progress)
        except urllib.error.HTTPError as error:
            raise _http_error(error, url, origin) from error
        except (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError) as error:
            broken = error
        have = _file_size(part)
    if have < item.size:
        raise UserError(
            f"the connection broke at {have} of {item.size} bytes{f': {broken}' if broken else ''}",
            where=url,
            cure="run the same command again to resume",
        ) from broken


def _request_rest(url: str, part: Path, have: int, *, item: ManifestEntry, origin: Source, progress: Progress) -> None:
    """Request the missing rest of `part`."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    token = os.environ.get("HF_TOKEN")
    if origin.page and token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.build_opener(_RedirectHandler).open(request, timeout=TIMEOUT) as response:
        if have and response.status != HTTPStatus.PARTIAL_CONTENT:
            # The server does not support ranges and sends the whole file.
            progress(-have)
            have = 0
        with file_errors(part), part.open("ab" if have else "wb") as file:
            while have <= item.size and (block := response.read(BLOCK)):
                file.write(block)
                have += len(block)
                progress(len(block))


class _RedirectHandler(urllib.request.HTTPRedirectHandler):
    """Follow redirections without sending the token to another server."""

    def redirect_request(  # noqa: PLR0917 - urllib's own signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """Return the redirected request."""
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            request.remove_header("Authorization")
        return request


def _http_error(error: urllib.error.HTTPError, url: str, origin: Source) -> UserError:
    what = f"the server replied {error.code} {error.reason}"
    if origin.page and error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        cure = f"accept the terms on {origin.page} and set HF_TOKEN to a token of the same account"
        return UserError(what, where=url, cure=cure)
    return UserError(what, where=url, cure="try again later, or use a mirror with --base-url")


def _file_size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
