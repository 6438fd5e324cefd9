"""Compute the memory of a model and its cache from the configuration, and set its context length.

Three kinds of models depend on the context length. Qwen3-VL extends its native length only with YaRN, with the
parameters of its card. Phi uses different rotary frequencies for short and long prompts, which would prevent reuse of
prefix states across lengths: here the context selects one set for all prompts. A sliding window as wide as the context
is removed.
"""

from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig


YARN = {524288: 2.0, 786432: 3.0}
"""YaRN factor by context length, from the cards of Qwen3-VL ("Processing Long Texts"), which advise no greater ones."""
YARN_MODELS = frozenset({"qwen3_vl", "qwen3_vl_moe"})
YARN_NATIVE = 262144
BYTES_PER_WEIGHT = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "bitsandbytes-int8": 1.0, "bitsandbytes-int4": 0.5}
"""Bytes per weight, by dtype or quantisation."""
LATENT_MODELS = frozenset({"axk1", "bailing_hybrid", "deepseek_v3", "glm4_moe_lite", "kimi_linear", "youtu"})
"""Model types whose attention keeps its latent vectors; transformers 5.23 keeps the keys and values of others."""
CACHE_SHARE = 0.6
"""Share of the memory for states that the prefix cache takes; the rest is for batches."""
LIBRARIES = 1_150_000_000
"""Assumed bytes of the process without model and states: Python, torch, transformers, judgments."""
TOKENS_PER_SNAPSHOT = 1024
"""Assumed number of tokens per copy of recurrent states."""


def set_context(config: "PretrainedConfig", context: int | None, *, option: str) -> int:
    """Set the context length in `config`, and return it.

    Args:
        config: configuration of the model, modified in place.
        context: maximum number of tokens of prompt plus answer; None: the native length.
        option: config path of the backbone, for messages.

    Raises:
        UserError: the context exceeds the native length, and the model's card does not extend it to that.
    """
    text = config.get_text_config(decoder=True)
    native = text.max_position_embeddings
    context = context or native
    if context > native:
        stretchable = config.model_type in YARN_MODELS and native == YARN_NATIVE
        if not stretchable or context not in YARN:
            longer = "".join(f" or {length}" for length in YARN) if stretchable else ""
            raise UserError(
                f"a context of {context} tokens exceeds the native length of the model",
                where=f"{option}.context",
                cure=f"at most {native}{longer}",
            )
        _apply_yarn(text, context)
    if (getattr(text, "rope_parameters", None) or {}).get("rope_type") == "longrope":
        _fix_longrope(text, context)
    # Layers of different types may use the window with positions of their own: leave such models unchanged.
    window = getattr(text, "sliding_window", None)
    if window is not None and window >= context and getattr(text, "layer_types", None) is None:
        text.sliding_window = None
    return context


def check_thinking(thinking_tokens: int, context: int, *, option: str) -> None:
    """Raise UserError if the tokens of a thought leave no room in the context."""
    if thinking_tokens >= context:
        raise UserError(
            f"thinking_tokens is {thinking_tokens}, and the context {context}",
            where=f"{option}.thinking_tokens",
            cure="leave room for prompts and answers",
        )


def _apply_yarn(text: "PretrainedConfig", context: int) -> None:
    """Set YaRN as in the model card; mrope_section and mrope_interleaved are kept."""
    text.rope_parameters = {
        **text.rope_parameters,
        "rope_type": "yarn",
        "factor": YARN[context],
        "original_max_position_embeddings": text.max_position_embeddings,
    }
    text.max_position_embeddings = context


def _fix_longrope(text: "PretrainedConfig", context: int) -> None:
    """Select one set of LongRoPE factors (Ding et al., arXiv 2402.13753) for all prompts: long ones if the context
    exceeds the original length, else short ones."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    _, attention_factor = ROPE_INIT_FUNCTIONS["longrope"](text, None)
    chosen = "long_factor" if context > text.rope_parameters["original_max_position_embeddings"] else "short_factor"
    factors = text.rope_parameters[chosen]
    # The library would change factors, and drop its cache, when a prompt exceeds the original length.
    text.original_max_position_embeddings = text.max_position_embeddings
    text.rope_parameters = {
        **text.rope_parameters,
        "short_factor": factors,
        "long_factor": factors,
        "attention_factor": attention_factor,
        "original_max_position_embeddings": text.max_position_embeddings,
    }


def cache_bytes(config: "PretrainedConfig", tokens: int, dtype: str, *, windowed: bool = False) -> int:
    """Compute the bytes of keys and values of one conversation of `tokens` tokens.

    2 x key-value heads x head size x bytes per number, for every token and attention layer. With multi-head latent
    attention a layer keeps one latent vector and one rotary key per token. Recurrent layers, whose state does not grow,
    do not count.

    Args:
        config: configuration of the model.
        tokens: number of tokens.
        dtype: dtype of keys and values.
        windowed: whether a layer with a sliding window keeps no more than its width, as it does without a prefix cache.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    text = config.get_text_config(decoder=True)
    numbers = 0
    for layer, shape in zip(DynamicCache(config=config).layers, text.per_layer_config, strict=True):
        if isinstance(layer, DynamicLayer):
            window = getattr(layer, "sliding_window", tokens) if windowed else tokens
            numbers += min(tokens, window) * _numbers_per_token(shape)
    return int(numbers * BYTES_PER_WEIGHT[dtype])


def _numbers_per_token(shape: "PretrainedConfig") -> int:
    """Return how many numbers an attention layer of this shape keeps of a token."""
    if shape.model_type in LATENT_MODELS:
        return int(shape.kv_lora_rank + shape.qk_rope_head_dim)
    heads = getattr(shape, "num_key_value_heads", None) or shape.num_attention_heads
    return int(2 * heads * (getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads))


def state_bytes(config: "PretrainedConfig", dtype: str) -> int:
    """Compute the bytes of the recurrent states of one conversation, independent of its length.

    For each layer the last inputs of the convolutions and, per head, float32 matrices: one for Gated DeltaNet and Kimi
    Delta Attention, two for Gated KalmaNet. Other recurrent layers are not counted.
    """
    from legalrr.backbones.local.gka_model import ENTRY, gka_layers, kalmanet_config

    text = config.get_text_config(decoder=True)
    if layers := len(gka_layers(config)):
        gka = kalmanet_config(text, getattr(text, ENTRY))
        heads = gka.num_q_heads + gka.num_k_heads + (gka.num_v_heads if gka.use_v_conv else 0)
        channels = heads * gka.head_dim
        return gka_state_bytes(layers, gka.num_heads, gka.head_dim, channels, dtype=dtype, inputs=gka.conv_size)
    layers = (getattr(text, "layer_types", None) or []).count("linear_attention")
    if layers and hasattr(text, "linear_num_value_heads"):
        keys, values = text.linear_key_head_dim, text.linear_value_head_dim
        heads = text.linear_num_value_heads
        channels = 2 * text.linear_num_key_heads * keys + heads * values
    elif layers and hasattr(text, "linear_head_dim"):
        keys = values = text.linear_head_dim
        heads = text.linear_num_heads
        channels = 3 * heads * keys
    else:
        return 0
    inputs = text.linear_conv_kernel_dim
    return delta_state_bytes(layers, heads, keys, values, channels, dtype=dtype, inputs=inputs)


def delta_state_bytes(
    layers: int, heads: int, keys: int, values: int, channels: int, *, dtype: str, inputs: int = 4
) -> int:
    """Compute the bytes of a float32 matrix of keys x values per head, and of convolution inputs, over `layers`."""
    matrices = heads * keys * values * BYTES_PER_WEIGHT["float32"]
    return int(layers * (matrices + channels * inputs * BYTES_PER_WEIGHT[dtype]))


def gka_state_bytes(layers: int, heads: int, size: int, channels: int, *, dtype: str, inputs: int = 4) -> int:
    """Compute the bytes of two float32 matrices of size x size per head, and of convolution inputs, over `layers`."""
    return int(
        layers * (2 * heads * size**2 * BYTES_PER_WEIGHT["float32"] + channels * inputs * BYTES_PER_WEIGHT[dtype])
    )


def token_bytes(config: "PretrainedConfig", dtype: str) -> int:
    """Compute the bytes of one token in the prefix cache.

    Recurrent states are copied where conversations diverge and end: assumed here every SNAPSHOT tokens.
    """
    return cache_bytes(config, 1, dtype) + state_bytes(config, dtype) // TOKENS_PER_SNAPSHOT


def weight_bytes(auto: Any, config: "PretrainedConfig", folder: Path, dtype: str, quantization: str) -> int:
    """Compute the bytes of a model's weights in memory.

    Args:
        auto: auto class of the architecture.
        config: configuration of the model.
        folder: its files; their size counts if they are quantised already.
        dtype: name of a torch dtype.
        quantization: quantisation while loading, or none.
    """
    import torch

    if getattr(config, "quantization_config", None) is not None:
        return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    with torch.device("meta"):
        model = auto.from_config(config)
    return int(
        sum(p.numel() for p in model.parameters()) * BYTES_PER_WEIGHT[dtype if quantization == "none" else quantization]
    )


def available_memory(device: str) -> int:
    """Return the bytes of memory for a model: free memory of an accelerator (auto: of all), or total memory of the
    machine for a CPU."""
    import os

    import torch

    kind, _, number = device.partition(":")
    if kind == "mps":
        return int(torch.mps.recommended_max_memory())
    if kind == "cuda" or (kind == "auto" and torch.cuda.is_available()):
        which = range(torch.cuda.device_count()) if kind == "auto" else [int(number or 0)]
        return sum(torch.cuda.mem_get_info(index)[0] for index in which)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_memory(
    config: "PretrainedConfig",
    context: int,
    *,
    weights: int,
    dtype: str,
    device: str,
    option: str,
    windowed: bool = False,
) -> None:
    """Raise UserError if weights plus the cache of one conversation of `context` tokens exceed the memory.

    Args:
        config: configuration of the model.
        context: maximum number of tokens of prompt plus answer.
        weights: bytes of the weights.
        dtype: dtype of keys and values.
        device: cpu, cuda, cuda:N, mps or auto.
        option: config path of the backbone, for messages.
        windowed: see `cache_bytes`.
    """
    there = available_memory(device)
    states = state_bytes(config, dtype)

    def grown(tokens: int, *, windowed: bool = windowed) -> int:
        return cache_bytes(config, tokens, dtype, windowed=windowed)

    needed = states + grown(context)
    if weights + needed <= there:
        return
    free = there - weights - states
    fit = bisect_right(range(context), free, key=grown) - 1
    cure = f"another {option}.device, dtype or quantization"
    cure = f"give a {option}.context that fits, {cure}" if fit > 0 else f"choose a smaller model, {cure}"
    if grown(context, windowed=True) < grown(context):
        cure += f", or {option}.prefix_cache_gb=0, which keeps no more than the sliding windows"
    raise UserError(
        f"the states of {context} tokens take {needed / 1e9:.1f} GB in addition to {weights / 1e9:.1f} GB of weights, "
        f"and {device} has {there / 1e9:.1f} GB of memory: {max(fit, 0)} tokens fit",
        where=f"{option}.context",
        cure=cure,
    )


def state_memory(
    config: "PretrainedConfig", context: int, *, memory: int, weights: int, dtype: str, chunk: int, option: str
) -> int:
    """Compute the bytes that a process has for the states of prompts, after libraries, weights and activations.

    Args:
        config: configuration of the model.
        context: maximum number of tokens of prompt plus answer.
        memory: bytes of the process.
        weights: bytes of the weights.
        dtype: dtype of weights and states.
        chunk: tokens per forward pass of a prefill.
        option: config path of the backbone, for messages.

    Raises:
        UserError: the state of one conversation of `context` tokens does not fit twice: in the cache and continued.
    """
    text = config.get_text_config(decoder=True)
    size = BYTES_PER_WEIGHT[dtype]
    # The packed head of a model that shares it with its embeddings is a copy.
    head = int(text.vocab_size * text.hidden_size * size)
    # Of one layer at a time: hidden states, queries, keys, values, output, and three of the feed-forward layer.
    wide = 6 * text.hidden_size + 3 * getattr(text, "intermediate_size", 4 * text.hidden_size)
    activations = int(min(chunk, context) * wide * size)
    one = cache_bytes(config, context, dtype) + state_bytes(config, dtype)
    fixed = LIBRARIES + weights + head + activations
    if memory - fixed < 2 * one:
        raise UserError(
            f"{memory / 1e9:.1f} GB of memory are too few: weights, libraries and activations take "
            f"{fixed / 1e9:.1f} GB, the states of {context} tokens {one / 1e9:.1f} GB, twice",
            where=f"{option}.memory_gb",
            cure=f"give at least {(fixed + 2 * one) / 1e9 + 0.05:.1f}, or lower {option}.context or prefill_chunk",
        )
    return memory - fixed


def divide_state_memory(states: int, capacity: int) -> tuple[int, int]:
    """Return the bytes of the prefix cache, at most `capacity`, and of a batch, which are together `states`."""
    cache = min(capacity, int(CACHE_SHARE * states))
    return cache, states - cache


def trim_heap() -> None:
    """Return freed memory to the system, where the C library can: glibc keeps what was freed in small pieces."""
    import ctypes

    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
