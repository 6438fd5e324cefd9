"""Compute the memory of a model and its cache, and extend its context.

Setting a model's configuration to a context length, where its positions depend on that.

Three kinds do. Qwen3-VL reads beyond its native length only with YaRN, which its card spells out. Phi reads short
prompts by other rotary frequencies than long ones, so that nothing read in a short prompt would serve a long one: here
the context decides, once for all prompts. And a sliding window as wide as the context is none.

How much memory a model and its cache take, known from the configuration before any weight is read.
"""

from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig


YARN = {524288: 2.0, 786432: 3.0}
"""Factor by context, from the cards of Qwen3-VL ("Processing Long Texts"), which advise against greater ones."""
YARN_MODELS = frozenset({"qwen3_vl", "qwen3_vl_moe"})
YARN_NATIVE = 262144


def set_context(config: "PretrainedConfig", context: int | None, *, option: str) -> int:
    """Change `config` to what a context asks for; returns the context.

    Args:
        config: of the model.
        context: tokens that prompt and answer may take together; None: as many as the model was made for.
        option: config path of the backbone, for messages.

    Raises:
        UserError: the model was not made for so many, and its card has no recipe for it.
    """
    text = config.get_text_config(decoder=True)
    native = text.max_position_embeddings
    context = context or native
    if context > native:
        stretchable = config.model_type in YARN_MODELS and native == YARN_NATIVE
        if not stretchable or context not in YARN:
            longer = "".join(f" or {length}" for length in YARN) if stretchable else ""
            raise UserError(
                f"a context of {context} tokens is more than the model was made for",
                where=f"{option}.context",
                cure=f"at most {native}{longer}",
            )
        _stretch(text, context)
    if (getattr(text, "rope_parameters", None) or {}).get("rope_type") == "longrope":
        _settle(text, context)
    # Where layers differ, a window may go with positions of its own; such models are left alone.
    window = getattr(text, "sliding_window", None)
    if window is not None and window >= context and getattr(text, "layer_types", None) is None:
        text.sliding_window = None
    return context


def check_thinking(thinking_tokens: int, context: int, *, option: str) -> None:
    """Raises UserError where the tokens of a thought leave nothing of the context."""
    if thinking_tokens >= context:
        raise UserError(
            f"thinking_tokens is {thinking_tokens}, and the context {context}",
            where=f"{option}.thinking_tokens",
            cure="leave room for prompts and answers",
        )


def _stretch(text: "PretrainedConfig", context: int) -> None:
    """YaRN as the card has it; mrope_section and mrope_interleaved stay."""
    text.rope_parameters = {
        **text.rope_parameters,
        "rope_type": "yarn",
        "factor": YARN[context],
        "original_max_position_embeddings": text.max_position_embeddings,
    }
    text.max_position_embeddings = context


def _settle(text: "PretrainedConfig", context: int) -> None:
    """One set of LongRoPE factors (Ding et al., arXiv 2402.13753) for all prompts: the long ones where the context
    exceeds the original length, the short ones elsewhere."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    _, attention_factor = ROPE_INIT_FUNCTIONS["longrope"](text, None)
    chosen = "long_factor" if context > text.rope_parameters["original_max_position_embeddings"] else "short_factor"
    factors = text.rope_parameters[chosen]
    # The library would change factors, and throw its cache away, where a prompt passes the original length.
    text.original_max_position_embeddings = text.max_position_embeddings
    text.rope_parameters = {
        **text.rope_parameters,
        "short_factor": factors,
        "long_factor": factors,
        "attention_factor": attention_factor,
        "original_max_position_embeddings": text.max_position_embeddings,
    }


BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "bitsandbytes-int8": 1.0, "bitsandbytes-int4": 0.5}
"""Bytes of a weight, by dtype or quantisation."""
SNAPSHOT = 1024
"""Tokens of a conversation for which there is one copy of its recurrent states, about."""


def cache_bytes(config: "PretrainedConfig", tokens: int, dtype: str) -> int:
    """Bytes of the keys and values of `tokens` tokens of one conversation.

    2 x key-value heads x head size x bytes of a number, for every token and every layer that attends: for those with a
    sliding window at most that many tokens, for recurrent layers, whose state does not grow, none.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    text = config.get_text_config(decoder=True)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    layers = [layer for layer in DynamicCache(config=config).layers if isinstance(layer, DynamicLayer)]
    remembered = sum(min(tokens, getattr(layer, "sliding_window", tokens)) for layer in layers)
    return int(2 * remembered * heads * size * BYTES[dtype])


def state_bytes(config: "PretrainedConfig", dtype: str) -> int:
    """Bytes of what Gated KalmaNet layers keep of one conversation, however long: two matrices per head in float32, and
    the last inputs of the convolutions. Other recurrent layers are not counted."""
    from legalrr.backbones.local.gka_model import ENTRY, gka_layers, kalmanet_config

    layers = len(gka_layers(config))
    if not layers:
        return 0
    text = config.get_text_config(decoder=True)
    gka = kalmanet_config(text, getattr(text, ENTRY))
    heads = gka.num_q_heads + gka.num_k_heads + (gka.num_v_heads if gka.use_v_conv else 0)
    return kept_bytes(layers, gka.num_heads, gka.head_dim, heads * gka.head_dim, dtype=dtype, inputs=gka.conv_size)


def kept_bytes(layers: int, heads: int, size: int, channels: int, *, dtype: str, inputs: int = 4) -> int:
    """Bytes of two float32 matrices of size x size per head, and of the last inputs of convolutions, in some layers."""
    return int(layers * (2 * heads * size**2 * BYTES["float32"] + channels * inputs * BYTES[dtype]))


def token_bytes(config: "PretrainedConfig", dtype: str) -> int:
    """Bytes of one token of what is held for conversations that begin the same way.

    A copy of recurrent states is made where conversations part and where they end: here for every SNAPSHOT tokens.
    """
    return cache_bytes(config, 1, dtype) + state_bytes(config, dtype) // SNAPSHOT


def weight_bytes(auto: Any, config: "PretrainedConfig", folder: Path, dtype: str, quantization: str) -> int:
    """Bytes of a model's weights once they are loaded.

    Args:
        auto: the class that picks the architecture.
        config: of the model.
        folder: its files: what they weigh counts where they are quantised already.
        dtype: name of a torch dtype.
        quantization: how they are quantised while they are loaded, or none.
    """
    import torch

    if getattr(config, "quantization_config", None) is not None:
        return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    with torch.device("meta"):
        model = auto.from_config(config)
    return int(sum(p.numel() for p in model.parameters()) * BYTES[dtype if quantization == "none" else quantization])


def room(device: str) -> int:
    """Bytes that a device has for a model: what is free on an accelerator (auto: on all), all memory of the machine on
    a CPU."""
    import os

    import torch

    kind, _, number = device.partition(":")
    if kind == "mps":
        return int(torch.mps.recommended_max_memory())
    if kind == "cuda" or (kind == "auto" and torch.cuda.is_available()):
        which = range(torch.cuda.device_count()) if kind == "auto" else [int(number or 0)]
        return sum(torch.cuda.mem_get_info(index)[0] for index in which)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_room(config: "PretrainedConfig", context: int, *, weights: int, dtype: str, device: str, option: str) -> None:
    """Raises UserError where the cache of one conversation of `context` tokens has no place beside the weights.

    Args:
        config: of the model.
        context: tokens that prompt and answer may take together.
        weights: bytes of the weights.
        dtype: name of the dtype of keys and values.
        device: cpu, cuda, cuda:N, mps or auto.
        option: config path of the backbone, for messages.
    """
    there = room(device)
    states = state_bytes(config, dtype)
    needed = states + cache_bytes(config, context, dtype)
    if weights + needed <= there:
        return
    free = there - weights - states
    fit = bisect_right(range(context), free, key=lambda tokens: cache_bytes(config, tokens, dtype)) - 1
    raise UserError(
        f"the states of {context} tokens take {needed / 1e9:.1f} GB beside {weights / 1e9:.1f} GB of weights, and the "
        f"memory of {device} is {there / 1e9:.1f} GB: {max(fit, 0)} tokens fit",
        where=f"{option}.context",
        cure=f"give a {option}.context that fits, another {option}.device, dtype or quantization"
        if fit > 0
        else f"choose a smaller model, another {option}.device, dtype or quantization",
    )
