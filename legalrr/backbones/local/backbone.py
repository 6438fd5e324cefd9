"""Backbone that runs a language model of the transformers library in this process."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.backbones.chat_template import DEFAULT_SECONDS, check_template_seconds, model_template
from legalrr.backbones.local.checkpoint import CheckpointInfo, open_checkpoint
from legalrr.backbones.local.gka_options import GkaOptions
from legalrr.backbones.local.memory import (
    check_memory,
    check_thinking,
    divide_state_memory,
    set_context,
    state_memory,
    token_bytes,
    weight_bytes,
)
from legalrr.backbones.local.model_files import model_provenance, resolve_revision
from legalrr.backbones.local.weights import bitsandbytes_config, check_device, load_error, open_weights
from legalrr.backbones.sampling import CardSampling, check_decoding, repeated_seed
from legalrr.backbones.thinking import read_thinking, set_thinking
from legalrr.errors import UserError
from legalrr.stage import at_least, check_fields, choice, later, runtime

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from legalrr.backbones.local.engine import TransformersEngine

OPTION = "backbone"
GKA_OPTION = f"{OPTION}.gka"
DEVICE = re.compile(r"cpu|cuda|cuda:\d+|mps|auto")
MIN_CACHED_SHARE = {"sdpa": 0.25}
"""Minimum share of a prompt that must be cached for its state to be used, by attention; 0 for others. After a cached
state sdpa needs an explicit mask, and torch's kernel then computes the upper triangle too: with a short cached prefix,
prefilling everything is faster."""


@dataclass(frozen=True, kw_only=True)
class TransformersBackbone:
    """A language model that runs on a CPU or accelerators, with generation and log-probabilities."""

    name: str = runtime()
    """Name in tables."""
    model: str
    """Folder with safetensors, .gguf file, `package:<package>/<file>.gguf`, or a hub id with `revision`."""
    revision: str | None = None
    """Branch, tag or commit of a hub model; None: main. Resolved to a commit before anything runs. Local files have
    none."""
    dtype: str = choice("float32", "float32", "bfloat16", "float16")
    """float32, bfloat16 or float16. Answers do not depend on how a prompt is cut into chunks only in float32."""
    attention: str = choice("split", "split", "sdpa", "eager", "flash_attention_2")
    """split (`legalrr.backbones.local.shared_prefix_attention`), sdpa, eager or flash_attention_2."""
    quantization: str = choice("none", "none", "bitsandbytes-int8", "bitsandbytes-int4")
    """none, bitsandbytes-int8 or bitsandbytes-int4 (NF4), applied while loading the weights."""
    matmul_precision: str = choice("highest", "highest", "high", "medium")
    """Precision of float32 products (`torch.set_float32_matmul_precision`): highest, high or medium. The internal
    format of the latter two depends on the processor."""
    context: int | None = at_least(1, None)
    """Maximum number of tokens of prompt plus answer; None: the native length of the model. Qwen3-VL extends it
    with YaRN, to 524288 or 786432."""
    decoding: str = choice("greedy", "greedy", "card")
    """greedy: the most probable token at each step; card: sample with the settings of `card`."""
    card: CardSampling | None = None
    """Sampling settings of the model card; None: the card has none."""
    seed: int = 0
    """Seed of sampling."""
    thinking_tokens: int = at_least(0, 0)
    """Tokens that a reasoning model may generate before its answer, in addition to those of a turn."""
    thinking: str | None = later(default=None)
    """off or on: set the switch of the chat template; budget: on, and close a thought after `thinking_tokens` instead
    of cutting the answer; None: as the template does by default (`legalrr.backbones.thinking`)."""
    chat_template_kwargs: dict[str, Any] | None = later(default=None, hash=False)  # noqa: RUF009 - a field like those above
    """Arguments of the chat template."""
    gka: GkaOptions = later(default=GkaOptions())  # noqa: RUF009  # it is frozen
    """Gated KalmaNet layers: settings of existing ones, and attention layers to replace by new ones."""
    device: str = runtime(default="cpu")
    """cpu, cuda, cuda:N, mps, or auto: spread over all accelerators."""
    batch_tokens: int = at_least(1, 32768, runtime=True)
    """Maximum number of tokens of padded prompts and answers in a decoding batch."""
    batch_prefill: int | None = at_least(1, None, runtime=True)
    """Maximum number of prompt tokens to compute before the answers of a batch are generated and stored; a single
    prompt may be longer. A lower number loses less work to a killed run, and generates more slowly. None: no limit."""
    prefill_chunk: int = at_least(1, 8192, runtime=True)
    """Tokens per forward pass of a prefill; limits the memory of activations."""
    prefix_cache_gb: float = at_least(0, 2.0, runtime=True)
    """Memory (1e9 bytes) of the prefix cache; 0: no prefix cache."""
    memory_gb: float | None = at_least(0, None, runtime=True)
    """Memory (1e9 bytes) of the process on a CPU; limits prefix cache and batches further. None: no limit."""
    linear: str = choice("plain", "plain", "packed", runtime=True)
    """Linear layers of the model: plain, of torch; packed (`legalrr.backbones.local.packed_linear`): faster, on a CPU.
    Sums are rounded differently."""
    pinned: bool = runtime(default=False)
    """Refuse a branch or tag as `revision` of a hub model, for runs that must be repeatable."""
    threads: int | None = at_least(1, None, runtime=True)
    """Threads of torch on a CPU; None: torch's default."""
    chat_template_seconds: float = runtime(default=DEFAULT_SECONDS)
    """Time limit of the chat template, a program in the files of the model, for one conversation."""

    VERSION: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Validate the fields; raise UserError for an invalid value."""
        check_fields(self, OPTION)
        if not DEVICE.fullmatch(self.device):
            raise UserError(
                f"unknown device {self.device!r}", where=f"{OPTION}.device", cure="use cpu, cuda, cuda:N, mps or auto"
            )
        if self.attention == "split" and self.device == "mps":
            raise UserError("split has no kernel for mps", where=f"{OPTION}.attention", cure="use sdpa")
        check_decoding(self.decoding, self.card, option=OPTION)
        check_template_seconds(self.chat_template_seconds, option=OPTION)
        thinking = read_thinking(self.thinking, self.thinking_tokens, self.chat_template_kwargs, option=OPTION)
        object.__setattr__(self, "thinking", thinking)
        for field, value in (("linear", self.linear != "plain"), ("memory_gb", self.memory_gb is not None)):
            if value and (self.device != "cpu" or self.quantization != "none"):
                raise UserError(
                    f"{field} is for models without quantization on a CPU",
                    where=f"{OPTION}.{field}",
                    cure=f"use {'plain' if field == 'linear' else 'null'}, or device=cpu and quantization=none",
                )
        if self.gka.layers and self.quantization != "none":
            raise UserError(
                "cannot replace layers with quantised weights",
                where=f"{OPTION}.quantization",
                cure="use none, or a model that was saved with its Gated KalmaNet layers",
            )

    def provenance(self) -> Mapping[str, Any]:
        """Return the digest of local files, or the commit of a hub model, and the digest of a layer order.

        Raises:
            UserError: there is no model, or no such order.
        """
        return {**model_provenance(self.model, self.revision, option=OPTION), **self.gka.provenance(GKA_OPTION)}

    def resolved(self) -> TransformersBackbone:
        """See `legalrr.protocols.HubStage`."""
        return replace(self, revision=resolve_revision(self.model, self.revision, pinned=self.pinned, option=OPTION))

    def repeated(self, repetition: int) -> TransformersBackbone:
        """See `legalrr.protocols.RepeatableBackbone`: repetitions differ in their seed."""
        return replace(self, seed=repeated_seed(self.seed, repetition, self.decoding, option=OPTION))

    def load(self) -> TransformersEngine:
        """Return the engine; equal backbones share one until another backbone is loaded.

        A .gguf file is converted on first use. Otherwise only configuration and tokenizer are read; weights are loaded
        at the first call.

        Raises:
            UserError: no model, no chat template, no such device, or a context beyond what model or memory allow.
        """
        return _engine(self)


def forget_engine() -> None:
    """Release the engine that was loaded last, with its weights and prefix cache."""
    _engine.cache_clear()


@lru_cache(maxsize=1)
def _engine(backbone: TransformersBackbone) -> TransformersEngine:
    checkpoint = open_checkpoint(backbone.model, backbone.revision, dtype=backbone.dtype, option=OPTION)
    template = model_template(
        checkpoint.tokenizer, backbone.chat_template_kwargs, seconds=backbone.chat_template_seconds, option=OPTION
    )
    check_device(backbone.device, option=OPTION)
    bitsandbytes_config(backbone.quantization, backbone.dtype, option=OPTION)
    context = set_context(checkpoint.config, backbone.context, option=OPTION)
    thoughts = set_thinking(template, backbone.thinking, backbone.thinking_tokens)
    check_thinking(thoughts.tokens, context, option=OPTION)
    from legalrr.backbones.local.gka_surgery import conversion_plan

    plan, layers = conversion_plan(checkpoint, backbone.gka, device=backbone.device, option=GKA_OPTION)
    weights = weight_bytes(plan.auto, plan.config, plan.folder, backbone.dtype, backbone.quantization)
    check_memory(
        plan.config,
        context,
        weights=weights,
        dtype=backbone.dtype,
        device=backbone.device,
        option=OPTION,
        windowed=not backbone.prefix_cache_gb,
    )
    if backbone.prefix_cache_gb:
        _check_layers(plan)

    capacity, batch_bytes = int(backbone.prefix_cache_gb * 1e9), None
    if backbone.memory_gb is not None:
        states = state_memory(
            plan.config,
            context,
            memory=int(backbone.memory_gb * 1e9),
            weights=weights,
            dtype=backbone.dtype,
            chunk=backbone.prefill_chunk,
            option=OPTION,
        )
        capacity, batch_bytes = divide_state_memory(states, capacity)

    from legalrr.backbones.local.engine import TransformersEngine
    from legalrr.backbones.local.page_images import open_vision

    return TransformersEngine(
        thoughts=thoughts,
        context=context,
        load_model=lambda: _model(backbone, checkpoint, layers),
        card=backbone.card if backbone.decoding == "card" else None,
        seed=backbone.seed,
        batch_tokens=backbone.batch_tokens,
        batch_prefill=backbone.batch_prefill,
        prefill_chunk=backbone.prefill_chunk,
        prefix_cache_bytes=capacity,
        batch_bytes=batch_bytes,
        token_bytes=token_bytes(plan.config, backbone.dtype),
        min_cached_share=MIN_CACHED_SHARE.get(backbone.attention, 0.0),
        matmul_precision=backbone.matmul_precision,
        threads=backbone.threads,
        option=OPTION,
        vision=open_vision(checkpoint.config, checkpoint.folder, option=OPTION),
    )


def _model(backbone: TransformersBackbone, checkpoint: CheckpointInfo, layers: Sequence[int]) -> PreTrainedModel:
    """Load the model of `checkpoint`, with new Gated KalmaNet layers in place of `layers`."""
    from legalrr.backbones.local.gka_surgery import apply_plan
    from legalrr.backbones.local.shared_prefix_attention import register

    register()
    config = bitsandbytes_config(backbone.quantization, backbone.dtype, option=OPTION)
    device_map = "auto" if backbone.device == "auto" else None if config is None else {"": backbone.device}
    try:
        model = open_weights(
            checkpoint.auto,
            checkpoint.folder,
            dtype=backbone.dtype,
            attention=backbone.attention,
            option=OPTION,
            config=checkpoint.config,
            whole=True,
            quantization_config=config,
            device_map=device_map,
        )
    except (OSError, ValueError) as error:
        raise load_error(backbone.model, error, option=OPTION) from error
    if backbone.attention == "split" and not model._supports_sdpa:
        raise UserError(
            f"{checkpoint.config.model_type} does not support replacing its attention function",
            where=f"{OPTION}.attention",
            cure="use eager",
        )
    apply_plan(model, layers, backbone.gka, option=GKA_OPTION)
    if backbone.linear == "packed":
        from legalrr.backbones.local.packed_linear import pack_linear_layers

        pack_linear_layers(model, option=OPTION)
    return model if device_map else model.to(backbone.device)


def _check_layers(checkpoint: CheckpointInfo) -> None:
    from legalrr.backbones.local.cache import unsupported_layers

    if others := unsupported_layers(checkpoint.config):
        raise UserError(
            f"the states of this model cannot be reused for a longer prompt (it has {', '.join(sorted(others))})",
            where=f"{OPTION}.prefix_cache_gb",
            cure=f"use {OPTION}.prefix_cache_gb=0",
        )
