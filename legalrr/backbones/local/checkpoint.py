"""Open a checkpoint without its weights (configuration, tokenizer, architecture), or load its lower layers only."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.backbones.local.model_files import model_folder
from legalrr.backbones.local.weights import check_device, load_error, open_weights, suppress_warnings
from legalrr.errors import UserError

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def open_layers(
    model: str, revision: str | None, *, layer: int, device: str, option: str, layer_option: str
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load a model up to a layer, in float32, and its tokenizer, to compute hidden states.

    Args:
        model: see `legalrr.backbones.local.model_files.locate`.
        revision: branch, tag or commit of a hub model.
        layer: the last layer to load, from 1.
        device: cpu, cuda, cuda:N or mps.
        option: config path of the option that names the model, for messages.
        layer_option: config path of the layer, for messages.

    Raises:
        UserError: no such model or device, unreadable files, an architecture that transformers lacks, or fewer layers.
    """
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    check_device(device, option=option)
    folder = model_folder(model, revision, dtype="float32", option=option)
    try:
        _check_architecture(folder, model, option)
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        _truncate_layers(config, layer, model, layer_option)
        opened = open_weights(
            AutoModel,
            folder,
            dtype="float32",
            attention="sdpa",
            option=option,
            config=config,
            # A masked language model has no pooler; hidden states do not depend on it.
            idle=("pooler.",),
        )
    except (OSError, ValueError) as error:
        raise load_error(model, error, option=option) from error
    placed: Any = opened.to(device)
    return placed, tokenizer


def _truncate_layers(config: "PretrainedConfig", layer: int, model: str, layer_option: str) -> None:
    if not 1 <= layer <= config.num_hidden_layers:
        raise UserError(f"layer {layer}", where=layer_option, cure=f"{model} has {config.num_hidden_layers}")
    config.num_hidden_layers = layer
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layer]


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """Configuration, tokenizer and architecture of a model."""

    folder: Path
    """Folder of all files."""
    config: "PretrainedConfig"
    """Configuration, which may be modified before the weights are loaded."""
    tokenizer: "PreTrainedTokenizerBase"
    """A fast tokenizer with a chat template."""
    auto: Any
    """The transformers class that loads the architecture, for text or for images and text; a hybrid's class if some
    layers are Gated KalmaNet."""


def open_checkpoint(model: str, revision: str | None, *, dtype: str, option: str) -> CheckpointInfo:
    """Read configuration and tokenizer of a model; a .gguf file is converted first, and a hub model downloaded.

    Args:
        model: see `legalrr.backbones.local.model_files.locate`.
        revision: branch, tag or commit of a hub model.
        dtype: dtype to convert a .gguf file to.
        option: config path of the backbone, for messages.

    Raises:
        UserError: files are missing or damaged, an architecture that transformers lacks, not a generative model, no
            chat template, or a tokenizer without offsets.
    """
    from transformers import AutoTokenizer

    folder = model_folder(model, revision, dtype=dtype, option=option)
    try:
        _check_architecture(folder, model, option)
        config = open_config(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise load_error(model, error, option=option) from error
    if tokenizer.chat_template is None:
        raise UserError(
            f"{model} has no chat template",
            where=f"{option}.model",
            cure="choose the instruction-tuned version, or put a chat_template.jinja beside its tokenizer",
        )
    if not tokenizer.is_fast:
        raise UserError(
            f"the tokenizer of {model} has no character offsets",
            where=f"{option}.model",
            cure="save it with a tokenizer.json",
        )
    return CheckpointInfo(folder=folder, config=config, tokenizer=tokenizer, auto=model_class(config, option=option))


def _check_architecture(folder: Path, model: str, option: str) -> None:
    """Raise UserError, naming the architecture, if transformers lacks it; OSError if there is no configuration."""
    from transformers import CONFIG_MAPPING, PretrainedConfig, __version__

    import legalrr.backbones.local.gka_model  # noqa: F401  # registers with AutoConfig

    values, _ = PretrainedConfig.get_config_dict(folder, local_files_only=True, trust_remote_code=False)
    kind = values.get("model_type")
    if kind is None or kind in CONFIG_MAPPING:
        return
    code = ", and it needs Python code from its checkpoint, and such code is never run" if "auto_map" in values else ""
    raise UserError(
        f"transformers {__version__} lacks the architecture of {model}, {kind}{code}",
        where=f"{option}.model",
        cure="pip install --upgrade transformers if a later version has it, or choose a model of `legalrr models`",
    )


def open_config(folder: Path) -> "PretrainedConfig":
    """Read the configuration of a model folder.

    Raises:
        OSError, ValueError: transformers cannot read it.
        UserError: it has unsupported layers.
    """
    from transformers import AutoConfig, MistralConfig, PretrainedConfig

    import legalrr.backbones.local.gka_model  # noqa: F401  # registers with AutoConfig
    from legalrr.backbones.local.gka_model import ENTRY

    values, _ = PretrainedConfig.get_config_dict(folder, local_files_only=True, trust_remote_code=False)
    # The library mistakes a Mistral with layer types for another model.
    if values.get("model_type") == "mistral" and ENTRY in values:
        with suppress_warnings():
            return MistralConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def end_tokens(generation: "GenerationConfig", tokenizer: "PreTrainedTokenizerBase", *, option: str) -> list[int]:
    """Return the tokens that end an answer, ascending; raise UserError if neither settings nor tokenizer have any."""
    ends = generation.eos_token_id
    ends = {ends} if isinstance(ends, int) else set(ends or [])
    ends = sorted(ends | ({tokenizer.eos_token_id} - {None}))
    if not ends:
        raise UserError(
            "the model does not define a token that ends an answer",
            where=f"{option}.model",
            cure="add eos_token_id to its generation_config.json",
        )
    return ends


def model_class(config: "PretrainedConfig", *, option: str) -> Any:
    """Return the class that loads a model: an auto class of transformers, or a hybrid's class.

    Args:
        config: configuration of the model.
        option: config path of the backbone, for messages.

    Raises:
        UserError: not a generative model.
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
        f"the model is a {config.model_type}, which does not generate text",
        where=f"{option}.model",
        cure="choose a causal language model, or one for images and text",
    )
