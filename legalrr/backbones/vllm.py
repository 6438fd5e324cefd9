"""The backbone that runs a language model in vLLM's offline engine: many conversations at once, on accelerators."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.backbones.local.checkpoint import CheckpointInfo, answer_ends, open_checkpoint
from legalrr.backbones.local.memory import cache_bytes, check_thinking, set_context
from legalrr.backbones.local.weights import origin
from legalrr.backbones.sampling import CardSampling, check_decoding
from legalrr.errors import UserError
from legalrr.stage import at_least, check_fields, choice, runtime

if TYPE_CHECKING:
    from vllm import LLM

    from legalrr.backbones.vllm_engine import VLLMEngine

OPTION = "backbone"
LIMITS = {"temperature": (0.0, 2.0), "presence_penalty": (-2.0, 2.0)}
"""What vLLM draws by."""
SILENT = {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
"""Unless the user's environment says otherwise, vLLM tells its makers nothing, and the log warnings alone."""


@dataclass(frozen=True, kw_only=True)
class VLLMBackbone:
    """A language model that writes answers and tells log-probabilities, run by vLLM."""

    name: str = runtime()
    """Name in tables."""
    model: str
    """Folder with safetensors, .gguf file (converted once), `package:<package>/<file>.gguf`, or a hub id with
    `revision`."""
    revision: str | None = None
    """Commit (40 hexadecimal digits) of a hub model; None for local files."""
    dtype: str = choice("bfloat16", "float32", "bfloat16", "float16")
    """float32, bfloat16 or float16; of a quantised checkpoint, that of what is not quantised."""
    quantization: str = "none"
    """`none`: as the checkpoint is, FP8, AWQ and GPTQ ones too; else what vLLM does to the weights while it loads them,
    by its own names: fp8, bitsandbytes, ..."""
    context: int | None = at_least(1, None)
    """Tokens that prompt and answer may take together; None: as many as the model was made for. Qwen3-VL goes beyond
    that with YaRN, at 524288 and 786432."""
    decoding: str = choice("greedy", "greedy", "card")
    """greedy: the most probable token each time; card: drawn as the model card says."""
    card: CardSampling | None = None
    """What the model card says; None: it says nothing."""
    seed: int = 0
    """Of what is drawn."""
    thinking_tokens: int = at_least(0, 0)
    """Tokens that a reasoning model may write before its answer, on top of what a turn allows."""
    tensor_parallel: int = at_least(1, 1, runtime=True)
    """Accelerators that each layer is spread over."""
    gpu_memory_utilization: float = runtime(default=0.9)
    """Share of an accelerator's memory for weights and states; what the weights leave holds the states."""
    kv_cache_gb: float | None = runtime(default=None)
    """Memory (1e9 bytes) for states on each accelerator, whatever `gpu_memory_utilization` says; None: that decides."""
    enforce_eager: bool = runtime(default=False)
    """Whether nothing is compiled beforehand, which starts sooner and goes on slower."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse values that do not exist."""
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
        for option, (lowest, highest) in LIMITS.items():
            if self.card is not None and not lowest <= getattr(self.card, option) <= highest:
                raise UserError(
                    f"{option} is {getattr(self.card, option)}",
                    where=f"{OPTION}.card.{option}",
                    cure=f"vLLM draws by {lowest} to {highest}",
                )

    def provenance(self) -> Mapping[str, Any]:
        """The content digest of local files, or the commit of a hub model; raises UserError where there is no model."""
        return origin(self.model, self.revision, option=OPTION)

    def load(self) -> VLLMEngine:
        """The engine, the same one for equal backbones until another one is loaded.

        A .gguf file is converted on its first use; otherwise only configuration and tokenizer are read, and vLLM starts
        at the first call.

        Raises:
            UserError: no vLLM, no such quantisation, no model, no chat template, or a context that the model was not
                made for.
        """
        if find_spec("vllm") is None:
            raise UserError(
                "the package vllm is not installed",
                where=OPTION,
                cure="pip install 'legalrr[vllm]', in an environment of its own, as it wants certain versions of torch "
                "and transformers",
            )
        return _engine(self)


@lru_cache(maxsize=1)
def _engine(backbone: VLLMBackbone) -> VLLMEngine:
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)
    _check_quantization(backbone.quantization)
    checkpoint = open_checkpoint(backbone.model, backbone.revision, dtype=backbone.dtype, option=OPTION)
    native = checkpoint.config.get_text_config(decoder=True).max_position_embeddings
    context = set_context(checkpoint.config, backbone.context, option=OPTION)
    check_thinking(backbone.thinking_tokens, context, option=OPTION)
    holds = None
    if backbone.kv_cache_gb is not None:
        token_bytes = cache_bytes(checkpoint.config, 1, backbone.dtype)
        holds = int(backbone.kv_cache_gb * 1e9 * backbone.tensor_parallel) // max(1, token_bytes)

    from legalrr.backbones.vllm_engine import VLLMEngine

    return VLLMEngine(
        tokenizer=checkpoint.tokenizer,
        context=context,
        start=lambda: _start(backbone, checkpoint, context, stretched=context > native),
        ends=_ends(checkpoint),
        holds=holds,
        thinking_tokens=backbone.thinking_tokens,
        card=backbone.card if backbone.decoding == "card" else None,
        seed=backbone.seed,
        option=OPTION,
    )


def _check_quantization(quantization: str) -> None:
    from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS

    known = ("none", *QUANTIZATION_METHODS)
    if quantization not in known:
        raise UserError(
            f"vLLM knows no quantization {quantization!r}",
            where=f"{OPTION}.quantization",
            cure=f"use {', '.join(known)}",
        )


def _ends(checkpoint: CheckpointInfo) -> list[int]:
    from transformers import GenerationConfig

    try:
        generation = GenerationConfig.from_pretrained(checkpoint.folder, local_files_only=True)
    except OSError:
        # A model without such a file goes by its configuration, as transformers does.
        generation = GenerationConfig.from_model_config(checkpoint.config)
    return answer_ends(generation, checkpoint.tokenizer, option=OPTION)


def _start(backbone: VLLMBackbone, checkpoint: CheckpointInfo, context: int, *, stretched: bool) -> LLM:
    from transformers import AutoModelForImageTextToText
    from vllm import LLM
    from vllm.exceptions import VLLMError

    changed: dict[str, Any] = {}
    if stretched:
        text = checkpoint.config.get_text_config(decoder=True)
        changed = {"rope_parameters": dict(text.rope_parameters), "max_position_embeddings": context}
        if text is not checkpoint.config:
            changed = {"text_config": changed}
    pictured = checkpoint.auto is AutoModelForImageTextToText
    try:
        return LLM(
            model=str(checkpoint.folder),
            dtype=backbone.dtype,
            quantization=None if backbone.quantization == "none" else backbone.quantization,
            max_model_len=context,
            hf_overrides=changed,
            tensor_parallel_size=backbone.tensor_parallel,
            gpu_memory_utilization=backbone.gpu_memory_utilization,
            kv_cache_memory_bytes=None if backbone.kv_cache_gb is None else int(backbone.kv_cache_gb * 1e9),
            enforce_eager=backbone.enforce_eager,
            enable_prefix_caching=True,
            # Neither memory nor time goes to what reads images.
            limit_mm_per_prompt={"image": 0, "video": 0} if pictured else {},
            # Nothing is taken from the sampling settings that the model's publisher recommends.
            generation_config="vllm",
        )
    except (VLLMError, ValueError, RuntimeError, OSError) as error:
        raise UserError(
            f"vLLM cannot start {backbone.model}: {error}",
            where=OPTION,
            cure=f"see its log above; where memory is out, lower {OPTION}.context or raise "
            f"{OPTION}.gpu_memory_utilization, {OPTION}.kv_cache_gb or {OPTION}.tensor_parallel",
        ) from error
