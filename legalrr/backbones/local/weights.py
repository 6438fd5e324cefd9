"""Load the weights of a model, with the torch settings for running it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

REMOTE_CODE = "trust_remote_code"
"""Part of the message of transformers for a checkpoint with code of its own."""


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


def open_weights(
    auto: Any,
    folder: Path,
    *,
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
        folder: folder with safetensors.
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
                folder,
                local_files_only=True,
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
                f"{folder} {fault} {len(names)} of its weights, the first one {min(names)}",
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
        cure="check its files",
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
