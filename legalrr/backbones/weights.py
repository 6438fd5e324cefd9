"""Opening a model of the transformers library, with errors that name the option."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from legalrr.backbones.numerics import hush
from legalrr.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


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

    from legalrr.backbones.gka.config import gka_layers

    hush()
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
