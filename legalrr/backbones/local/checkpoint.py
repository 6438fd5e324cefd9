"""Open a checkpoint: its configuration, tokenizer and architecture, or its first layers alone.

The lower layers of a language model or encoder, for its hidden states.

A checkpoint's configuration, tokenizer and architecture, read before any weight is.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.backbones.local.weights import check_device, converted, locate, open_weights, unreadable, without_warnings
from legalrr.errors import UserError

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def open_layers(
    model: str, revision: str | None, *, layer: int, device: str, option: str, layer_option: str
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """A model in float32 on its device without the layers above `layer`, which are not even loaded; and its tokenizer.

    Args:
        model: see `legalrr.backbones.local.weights.locate`.
        revision: commit of a hub model.
        layer: the last layer that is kept, from 1.
        device: cpu, cuda, cuda:N or mps.
        option: option of what asks for the model, for messages.
        layer_option: option of the layer, for messages.

    Raises:
        UserError: no such model or device, unreadable files, or fewer layers.
    """
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    check_device(device, option=option)
    path = locate(model, revision, option=option)
    if path is not None and path.is_file():
        path = converted(path, "float32", option=option)
    place = model if path is None else str(path)
    local = path is not None
    try:
        config = AutoConfig.from_pretrained(place, revision=revision, local_files_only=local)
        tokenizer: Any = AutoTokenizer.from_pretrained(place, revision=revision, local_files_only=local)
        _keep(config, layer, model, layer_option)
        opened = open_weights(
            AutoModel,
            place,
            revision=revision,
            local=local,
            dtype="float32",
            attention="sdpa",
            option=option,
            config=config,
            # A checkpoint that was trained to fill in words has no pooler, and hidden states come from below it.
            idle=("pooler.",),
        )
    except (OSError, ValueError) as error:
        raise unreadable(model, error, option=option) from error
    placed: Any = opened.to(device)
    return placed, tokenizer


def _keep(config: "PretrainedConfig", layer: int, model: str, layer_option: str) -> None:
    if not 1 <= layer <= config.num_hidden_layers:
        raise UserError(f"layer {layer}", where=layer_option, cure=f"{model} has {config.num_hidden_layers}")
    config.num_hidden_layers = layer
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layer]


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """What the small files of a model say."""

    folder: Path
    """Where all its files are."""
    config: "PretrainedConfig"
    """Its configuration, which may be changed before the weights are loaded."""
    tokenizer: "PreTrainedTokenizerBase"
    """A fast tokenizer with a chat template."""
    auto: Any
    """The class of transformers that picks the architecture, for text alone or for images and text; that of a hybrid
    where some layers are Gated KalmaNet (`legalrr.backbones.local`)."""


def open_checkpoint(model: str, revision: str | None, *, dtype: str, option: str) -> CheckpointInfo:
    """Read the small files of a model; a .gguf file is converted first.

    Args:
        model: see `legalrr.backbones.local.weights.locate`.
        revision: commit of a hub model.
        dtype: name of the dtype that a .gguf file is converted to.
        option: config path of the backbone, for messages.

    Raises:
        UserError: the files are not here or damaged, it is no model that writes, has no chat template, or a tokenizer
            without offsets.
    """
    from transformers import AutoTokenizer

    folder = locate(model, revision, option=option) or _downloaded(model, revision, option)
    if folder.is_file():
        folder = converted(folder, dtype, option=option)
    try:
        config = open_config(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise unreadable(model, error, option=option) from error
    if tokenizer.chat_template is None:
        raise UserError(
            f"{model} has no chat template",
            where=f"{option}.model",
            cure="choose the instruction-tuned version, or put a chat_template.jinja beside its tokenizer",
        )
    if not tokenizer.is_fast:
        raise UserError(
            f"the tokenizer of {model} does not tell offsets",
            where=f"{option}.model",
            cure="save it with a tokenizer.json",
        )
    return CheckpointInfo(folder=folder, config=config, tokenizer=tokenizer, auto=architecture(config, option=option))


def open_config(folder: Path) -> "PretrainedConfig":
    """The configuration of a model's folder.

    Raises:
        OSError, ValueError: transformers cannot read it.
        UserError: it has layers that there are none of here.
    """
    from transformers import AutoConfig, MistralConfig, PretrainedConfig

    import legalrr.backbones.local.gka_model  # noqa: F401  # makes itself known to AutoConfig
    from legalrr.backbones.local.gka_model import ENTRY

    values, _ = PretrainedConfig.get_config_dict(folder, local_files_only=True)
    # The library takes a Mistral with kinds of layers for another model.
    if values.get("model_type") == "mistral" and ENTRY in values:
        with without_warnings():
            return MistralConfig.from_pretrained(folder, local_files_only=True)
    return AutoConfig.from_pretrained(folder, local_files_only=True)


def answer_ends(generation: "GenerationConfig", tokenizer: "PreTrainedTokenizerBase", *, option: str) -> list[int]:
    """The tokens that end an answer, ascending; raises UserError where neither settings nor tokenizer name any."""
    ends = generation.eos_token_id
    ends = {ends} if isinstance(ends, int) else set(ends or [])
    ends = sorted(ends | ({tokenizer.eos_token_id} - {None}))
    if not ends:
        raise UserError(
            "the model does not say which token ends an answer",
            where=f"{option}.model",
            cure="add eos_token_id to its generation_config.json",
        )
    return ends


def _downloaded(model: str, revision: str | None, option: str) -> Path:
    """The folder of a hub model in the local cache of the hub: what weighs gigabytes is not fetched in passing."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise UserError(
            f"the files of {model} at {revision} are not here",
            where=f"{option}.model",
            cure=f"hf download {model} --revision {revision} (some models ask for a licence first: hf auth login), or "
            f"give {option}.model the folder where they are and {option}.revision=null",
        ) from error


def architecture(config: "PretrainedConfig", *, option: str) -> Any:
    """The class that loads a model: one of transformers that picks the architecture, or that of a hybrid.

    Args:
        config: of the model.
        option: config path of the backbone, for messages.

    Raises:
        UserError: it is no model that writes.
    """
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
    )

    from legalrr.backbones.local.gka_model import gka_layers, hybrid_class

    for auto, mapping in (
        (AutoModelForCausalLM, MODEL_FOR_CAUSAL_LM_MAPPING),
        (AutoModelForImageTextToText, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING),
    ):
        if type(config) in mapping:
            return hybrid_class(mapping[type(config)]) if gka_layers(config) else auto
    raise UserError(
        f"the model is a {config.model_type}, which does not write text",
        where=f"{option}.model",
        cure="choose a causal language model, or one for images and text",
    )
