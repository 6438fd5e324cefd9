"""Resolve and download repositories of the Hugging Face hub: models, tokenizers and data sets.

A revision may be a branch, a tag or a commit. It is resolved once per process to a commit, which then identifies the
files: in the keys of stored answers, in run.json and in the report. Files go to the cache of huggingface_hub. With
HF_HUB_OFFLINE=1 nothing is requested, and a branch is the commit that it was when the hub was last asked.
"""

import logging
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.errors import UserError
from legalrr.progress import progress

if TYPE_CHECKING:
    from huggingface_hub import DryRunFileInfo

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
MAIN = "main"
"""Branch that is used if no revision is given."""
MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
"""Files of a model that are downloaded; pickled weights are not read."""
OTHER_FORMATS = ("consolidated*", "original/*", "onnx/*", "openvino/*", "*/*.safetensors")
"""Files of a model with the same weights in a form for other programs."""
TOKENIZER_FILES = ("*.json", "*.jinja", "*.model", "*.txt")
FREE_BYTES = 1_000_000_000
"""Bytes that a download leaves free on the disk."""
log = logging.getLogger(__name__)


def resolve_commit(repo: str, revision: str | None, *, kind: str = "model", pinned: bool = False, where: str) -> str:
    """Return the commit (40 hexadecimal digits) of a revision.

    The hub is asked once per process. If it cannot be reached, the commit of the last time counts, with a warning. A
    warning also says when a branch has moved since.

    Args:
        repo: owner/name.
        revision: branch, tag or commit; None: the branch main.
        kind: model or dataset.
        pinned: whether a branch or tag is refused.
        where: config path of the revision, for messages.

    Raises:
        UserError: no such repository or revision, no network and none known, or not a commit although `pinned`.
    """
    if revision is not None and COMMIT.fullmatch(revision):
        return revision
    return _resolve(repo, revision or MAIN, kind, pinned, where)


@lru_cache
def _resolve(repo: str, revision: str, kind: str, pinned: bool, where: str) -> str:
    from huggingface_hub import HfApi, constants

    former = _known_commit(repo, revision, kind)
    if pinned:
        raise UserError(
            f"{revision} of {repo} is not a commit, and pinned=true demands one",
            where=where,
            cure=f"give 40 hexadecimal digits: {former or f'see {_page(repo, kind)}/commits/main'}",
        )
    if former is None and constants.HF_HUB_OFFLINE:
        raise UserError(
            f"{repo} is not here, and HF_HUB_OFFLINE is set",
            where=where,
            cure="unset HF_HUB_OFFLINE to download it, or give the folder of a local copy",
        )
    with _hub_errors(repo, kind, revision, where):
        # huggingface_hub itself warns if it cannot reach the hub.
        found = HfApi().resolve_revision(
            repo, repo_type=kind, revision=revision, local_files_only=constants.HF_HUB_OFFLINE
        )
    commit = str(found.resolved)
    if former is not None and former != commit:
        log.warning(
            "%s: %s has moved from commit %s to %s. Answers are stored by commit: use %s=%s for the former",
            repo,
            revision,
            former,
            commit,
            where,
            former,
        )
    else:
        log.info("%s: %s is commit %s", repo, revision, commit)
    return commit


def _known_commit(repo: str, revision: str, kind: str) -> str | None:
    """Return the commit that a branch or tag was when the hub was last asked; None if it never was."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RevisionResolutionError

    try:
        return str(HfApi().resolve_revision(repo, repo_type=kind, revision=revision, local_files_only=True).resolved)
    except (RevisionResolutionError, HFValidationError):
        return None


def download(
    repo: str,
    commit: str,
    *,
    kind: str = "model",
    files: Sequence[str] = MODEL_FILES,
    where: str,
) -> Path:
    """Return the folder of a repository at a commit; download the files that are missing.

    A complete snapshot is found without a request. An interrupted download is resumed.

    Args:
        repo: owner/name.
        commit: 40 hexadecimal digits.
        kind: model or dataset.
        files: patterns of the files.
        where: config path of the stage, for messages.

    Raises:
        UserError: no access, no network, or not enough space on the disk.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError

    chosen: dict[str, Any] = {
        "repo_id": repo,
        "repo_type": kind,
        "revision": commit,
        "allow_patterns": list(files),
        "ignore_patterns": list(OTHER_FORMATS) if kind == "model" else None,
    }
    try:
        return Path(snapshot_download(**chosen, local_files_only=True))
    except LocalEntryNotFoundError as error:
        if constants.HF_HUB_OFFLINE:
            fault = "are incomplete" if isinstance(error, IncompleteSnapshotError) else "are not here"
            raise UserError(
                f"the files of {repo} at {commit} {fault}, and HF_HUB_OFFLINE is set",
                where=where,
                cure="unset HF_HUB_OFFLINE to download them",
            ) from error
    with _hub_errors(repo, kind, commit, where):
        listed = snapshot_download(**chosen, dry_run=True, tqdm_class=_forwarding_bar(lambda _: None))
    wanted = [file for file in listed if file.will_download]
    size = sum(file.file_size or 0 for file in wanted)
    _check_space(repo, wanted, size, Path(constants.HF_HUB_CACHE), where)
    log.info("downloading %s at %s: %d files, %.2f GB", repo, commit, len(wanted), size / 1e9)
    with progress("download", size, "bytes") as advance, _hub_errors(repo, kind, commit, where):
        return Path(snapshot_download(**chosen, tqdm_class=_forwarding_bar(advance)))


def _check_space(repo: str, wanted: "Sequence[DryRunFileInfo]", size: int, cache: Path, where: str) -> None:
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if size + FREE_BYTES > free:
        raise UserError(
            f"{repo} needs {size / 1e9:.1f} GB for {len(wanted)} files, and {cache} has {free / 1e9:.1f} GB free",
            where=where,
            cure="free some space, or set HF_HOME to a folder on a larger disk",
        )


def _forwarding_bar(advance: Callable[[int], None]) -> Any:
    """Make a class of progress bars that draws nothing and passes the bytes written on to `advance`."""
    from huggingface_hub.utils.tqdm import tqdm

    class ForwardingBar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # The bars of huggingface_hub: files, bytes received, and bytes written, of which the last has this name.
            self._counts = kwargs.get("name") == "huggingface_hub.snapshot_download"
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> None:
            if self._counts:
                advance(int(n or 0))

    return ForwardingBar


@contextmanager
def _hub_errors(repo: str, kind: str, revision: str, where: str) -> Iterator[None]:
    """Convert the errors of huggingface_hub to a UserError with what to do."""
    from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is that of its HTTP client
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
        RevisionResolutionError,
    )

    page = _page(repo, kind)
    again = "run the same command again to resume"
    try:
        yield
    except GatedRepoError as error:
        raise UserError(
            f"{repo} requires that its terms are accepted",
            where=where,
            cure=f"accept them on {page}, then run `hf auth login` or set HF_TOKEN",
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(
            f"{repo} has no branch, tag or commit {revision}",
            where=where,
            cure=f"see {page}/commits/main, or use main",
        ) from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"the hub has no {kind} {repo}, or it is private",
            where=where,
            cure=f"check the name on {page}; for a private one run `hf auth login` or set HF_TOKEN",
        ) from error
    except (RevisionResolutionError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise UserError(
            f"{repo} is not here, and the hub cannot be reached: {_cause(error)}",
            where=where,
            cure="check the network, HF_ENDPOINT and HTTPS_PROXY, or give the folder of a local copy",
        ) from error
    except HFValidationError as error:
        raise UserError(f"{repo} is not an id of the hub: {error}", where=where, cure="give owner/name") from error
    except HfHubHTTPError as error:
        raise UserError(f"the hub refuses {repo}: {_cause(error)}", where=where, cure=again) from error
    except OSError as error:
        raise UserError(f"the download of {repo} failed: {_cause(error)}", where=where, cure=again) from error
    except HTTPError as error:  # any fault of a connection
        raise UserError(f"the download of {repo} broke: {_cause(error)}", where=where, cure=again) from error


def _cause(error: BaseException) -> str:
    """Return the first line of the innermost cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _page(repo: str, kind: str) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{repo}"
