"""The lower layers of a language model or encoder, for its hidden states."""

from typing import TYPE_CHECKING, Any

from legalrr.backbones.gguf import converted
from legalrr.backbones.source import locate
from legalrr.backbones.weights import check_device, open_weights, unreadable
from legalrr.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def open_layers(
    model: str, revision: str | None, *, layer: int, device: str, option: str, layer_option: str
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """A model in float32 on its device without the layers above `layer`, which are not even loaded; and its tokenizer.

    Args:
        model: see `legalrr.backbones.source.locate`.
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
