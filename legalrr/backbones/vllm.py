"""Backbone that runs a language model in vLLM's offline engine, on accelerators."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.backbones.chat_template import DEFAULT_SECONDS, check_template_seconds, model_template
from legalrr.backbones.local.checkpoint import CheckpointInfo, end_tokens, open_checkpoint
from legalrr.backbones.local.memory import cache_bytes, check_thinking, set_context
from legalrr.backbones.local.model_files import model_provenance, resolve_revision
from legalrr.backbones.sampling import CardSampling, check_decoding, repeated_seed
from legalrr.backbones.thinking import read_thinking, set_thinking
from legalrr.errors import UserError
from legalrr.stage import at_least, check_fields, choice, later, runtime

if TYPE_CHECKING:
    from vllm import LLM

    from legalrr.backbones.vllm_engine import VLLMEngine

OPTION = "backbone"
LIMITS = {"temperature": (0.0, 2.0), "presence_penalty": (-2.0, 2.0)}
"""Ranges that vLLM accepts."""
QUIET_ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
"""Defaults of the environment: no usage statistics, and only warnings in the log."""


@dataclass(frozen=True, kw_only=True)
class VLLMBackbone:
    """A language model run by vLLM, with generation and log-probabilities."""

    name: str = runtime()
    """Name in tables."""
    model: str
    """Folder with safetensors, .gguf file (converted once), `package:<package>/<file>.gguf`, or a hub id with
    `revision`."""
    revision: str | None = None
    """Branch, tag or commit of a hub model; None: main. Resolved to a commit before anything runs. Local files have
    none."""
    dtype: str = choice("bfloat16", "float32", "bfloat16", "float16")
    """float32, bfloat16 or float16; for a quantised checkpoint, the dtype of the parts that are not quantised."""
    quantization: str = "none"
    """`none`: as in the checkpoint, including FP8, AWQ and GPTQ; otherwise vLLM's name of a quantisation applied while
    loading: fp8, bitsandbytes, ..."""
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
    tensor_parallel: int = at_least(1, 1, runtime=True)
    """Number of accelerators for tensor parallelism."""
    gpu_memory_utilization: float = runtime(default=0.9)
    """Share of an accelerator's memory for weights and KV cache."""
    kv_cache_gb: float | None = runtime(default=None)
    """KV-cache memory (1e9 bytes) per accelerator, overriding `gpu_memory_utilization`; None: do not override."""
    pinned: bool = runtime(default=False)
    """Refuse a branch or tag as `revision` of a hub model, for runs that must be repeatable."""
    enforce_eager: bool = runtime(default=False)
    """Disable compilation: faster start, slower decoding."""
    chat_template_seconds: float = runtime(default=DEFAULT_SECONDS)
    """Time limit of the chat template, a program in the files of the model, for one conversation."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Validate the fields; raise UserError for an invalid value."""
        check_fields(self, OPTION)
        if not 0 < self.gpu_memory_utilization <= 1:
            raise UserError(
                f"gpu_memory_utilization is {self.gpu_memory_utilization}",
                where=f"{OPTION}.gpu_memory_utilization",
                cure="give a share above 0 and up to 1",
            )
        if self.kv_cache_gb is not None and self.kv_cache_gb <= 0:
            raise UserError(
                f"kv_cache_gb is {self.kv_cache_gb}", where=f"{OPTION}.kv_cache_gb", cure="give more than 0, or null"
            )
        check_decoding(self.decoding, self.card, option=OPTION)
        check_template_seconds(self.chat_template_seconds, option=OPTION)
        thinking = read_thinking(self.thinking, self.thinking_tokens, self.chat_template_kwargs, option=OPTION)
        object.__setattr__(self, "thinking", thinking)
        for option, (lowest, highest) in LIMITS.items():
            if self.card is not None and not lowest <= getattr(self.card, option) <= highest:
                raise UserError(
                    f"{option} is {getattr(self.card, option)}",
                    where=f"{OPTION}.card.{option}",
                    cure=f"vLLM accepts {lowest} to {highest}",
                )

    def provenance(self) -> Mapping[str, Any]:
        """Return the digest of local files, or the commit of a hub model; raise UserError if there is no model."""
        return model_provenance(self.model, self.revision, option=OPTION)

    def resolved(self) -> VLLMBackbone:
        """See `legalrr.protocols.HubStage`."""
        return replace(self, revision=resolve_revision(self.model, self.revision, pinned=self.pinned, option=OPTION))

    def repeated(self, repetition: int) -> VLLMBackbone:
        """See `legalrr.protocols.RepeatableBackbone`: repetitions differ in their seed."""
        return replace(self, seed=repeated_seed(self.seed, repetition, self.decoding, option=OPTION))

    def load(self) -> VLLMEngine:
        """Return the engine; equal backbones share one until another backbone is loaded.

        A .gguf file is converted on first use. Otherwise only configuration and tokenizer are read; vLLM starts at the
        first call.

        Raises:
            UserError: vLLM is not installed, unknown quantisation, no model, no chat template, or a context beyond
                what the model supports.
        """
        if find_spec("vllm") is None:
            raise UserError(
                "the package vllm is not installed",
                where=OPTION,
                cure="pip install 'legalrr[vllm]', in a separate environment: it pins versions of torch and "
                "transformers",
            )
        return _engine(self)


@lru_cache(maxsize=1)
def _engine(backbone: VLLMBackbone) -> VLLMEngine:
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _check_quantization(backbone.quantization)
    checkpoint = open_checkpoint(backbone.model, backbone.revision, dtype=backbone.dtype, option=OPTION)
    template = model_template(
        checkpoint.tokenizer, backbone.chat_template_kwargs, seconds=backbone.chat_template_seconds, option=OPTION
    )
    native = checkpoint.config.get_text_config(decoder=True).max_position_embeddings
    context = set_context(checkpoint.config, backbone.context, option=OPTION)
    thoughts = set_thinking(template, backbone.thinking, backbone.thinking_tokens)
    check_thinking(thoughts.tokens, context, option=OPTION)
    holds = None
    if backbone.kv_cache_gb is not None:
        token_bytes = cache_bytes(checkpoint.config, 1, backbone.dtype)
        holds = int(backbone.kv_cache_gb * 1e9 * backbone.tensor_parallel) // max(1, token_bytes)

    from legalrr.backbones.vllm_engine import VLLMEngine

    return VLLMEngine(
        thoughts=thoughts,
        context=context,
        start=lambda: _start(backbone, checkpoint, context, stretched=context > native),
        ends=_end_tokens(checkpoint),
        holds=holds,
        card=backbone.card if backbone.decoding == "card" else None,
        seed=backbone.seed,
        option=OPTION,
    )


def _check_quantization(quantization: str) -> None:
    from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS

    known = ("none", *QUANTIZATION_METHODS)
    if quantization not in known:
        raise UserError(
            f"unsupported vLLM quantization {quantization!r}",
            where=f"{OPTION}.quantization",
            cure=f"use {', '.join(known)}",
        )


def _end_tokens(checkpoint: CheckpointInfo) -> list[int]:
    from transformers import GenerationConfig

    try:
        generation = GenerationConfig.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
    except OSError:
        # Without a generation_config.json use the model's configuration, as transformers does.
        generation = GenerationConfig.from_model_config(checkpoint.config)
    return end_tokens(generation, checkpoint.tokenizer, option=OPTION)


def _start(backbone: VLLMBackbone, checkpoint: CheckpointInfo, context: int, *, stretched: bool) -> LLM:
    from vllm import LLM
    from vllm.exceptions import VLLMError

    changed: dict[str, Any] = {}
    if stretched:
        text = checkpoint.config.get_text_config(decoder=True)
        changed = {"rope_parameters": dict(text.rope_parameters), "max_position_embeddings": context}
        if text is not checkpoint.config:
            changed = {"text_config": changed}
    pictured = getattr(checkpoint.config, "vision_config", None) is not None
    try:
        return LLM(
            model=str(checkpoint.folder),
            trust_remote_code=False,
            dtype=backbone.dtype,
            quantization=None if backbone.quantization == "none" else backbone.quantization,
            max_model_len=context,
            hf_overrides=changed,
            tensor_parallel_size=backbone.tensor_parallel,
            gpu_memory_utilization=backbone.gpu_memory_utilization,
            kv_cache_memory_bytes=None if backbone.kv_cache_gb is None else int(backbone.kv_cache_gb * 1e9),
            enforce_eager=backbone.enforce_eager,
            enable_prefix_caching=True,
            # No memory or time for the image encoder.
            limit_mm_per_prompt={"image": 0, "video": 0} if pictured else {},
            # Ignore the sampling settings of the model's publisher.
            generation_config="vllm",
        )
    except (VLLMError, ValueError, RuntimeError, OSError) as error:
        raise UserError(
            f"vLLM cannot start {backbone.model}: {error}",
            where=OPTION,
            cure=f"see its log above; where memory is out, lower {OPTION}.context or raise "
            f"{OPTION}.gpu_memory_utilization, {OPTION}.kv_cache_gb or {OPTION}.tensor_parallel",
        ) from error
