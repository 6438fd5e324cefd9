"""The backbone that runs a language model of the transformers library in this process."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.backbones.local.checkpoint import CheckpointInfo, open_checkpoint
from legalrr.backbones.local.gka_options import GkaOptions
from legalrr.backbones.local.memory import check_room, check_thinking, set_context, token_bytes, weight_bytes
from legalrr.backbones.local.page_images import vision_of
from legalrr.backbones.local.weights import check_device, open_weights, origin, quantized, unreadable
from legalrr.backbones.sampling import CardSampling, check_decoding
from legalrr.errors import UserError
from legalrr.stage import at_least, check_fields, choice, later, runtime

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from legalrr.backbones.local.engine import TransformersEngine

OPTION = "backbone"
GKA_OPTION = f"{OPTION}.gka"
DEVICE = re.compile(r"cpu|cuda|cuda:\d+|mps|auto")
WORTHWHILE = {"sdpa": 0.25}
"""Share of a prompt that must be held for its state to be used, by attention; elsewhere any is. What follows a state
is read by sdpa under an explicit mask, and torch's kernel then computes the upper triangle too: where little is held,
reading all anew is quicker."""


@dataclass(frozen=True, kw_only=True)
class TransformersBackbone:
    """A language model that writes answers and tells log-probabilities, on a CPU or accelerators."""

    name: str = runtime()
    """Name in tables."""
    model: str
    """Folder with safetensors, .gguf file, `package:<package>/<file>.gguf`, or a hub id with `revision`."""
    revision: str | None = None
    """Commit (40 hexadecimal digits) of a hub model; None for local files."""
    dtype: str = choice("float32", "float32", "bfloat16", "float16")
    """float32, bfloat16 or float16. Only in float32 do answers repeat however a prompt is cut into parts."""
    attention: str = choice("split", "split", "sdpa", "eager", "flash_attention_2")
    """split (`legalrr.backbones.local.shared_prefix`), sdpa, eager or flash_attention_2."""
    quantization: str = choice("none", "none", "bitsandbytes-int8", "bitsandbytes-int4")
    """none, bitsandbytes-int8 or bitsandbytes-int4 (NF4), done while the weights are loaded."""
    matmul_precision: str = choice("highest", "highest", "high", "medium")
    """Of float32 products (`torch.set_float32_matmul_precision`): highest, high or medium. What the two others compute
    in depends on the processor."""
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
    gka: GkaOptions = later(default=GkaOptions())  # noqa: RUF009  # it is frozen
    """Gated KalmaNet layers: those of a model that has some, and attention layers to replace by new ones."""
    device: str = runtime(default="cpu")
    """cpu, cuda, cuda:N, mps, or auto: spread over all accelerators."""
    batch_tokens: int = at_least(1, 32768, runtime=True)
    """Tokens of padded prompts and answers that are written together."""
    prefill_chunk: int = at_least(1, 8192, runtime=True)
    """Tokens that are read in one forward, which bounds the memory of the layers in between."""
    prefix_cache_gb: float = at_least(0, 2.0, runtime=True)
    """Memory (1e9 bytes) for states of what was read, for prompts that begin the same way; 0: read everything anew."""
    threads: int | None = at_least(1, None, runtime=True)
    """Threads of torch on a CPU; None: as torch decides."""

    VERSION: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Refuse values that do not exist."""
        check_fields(self, OPTION)
        if not DEVICE.fullmatch(self.device):
            raise UserError(
                f"unknown device {self.device!r}", where=f"{OPTION}.device", cure="use cpu, cuda, cuda:N, mps or auto"
            )
        if self.attention == "split" and self.device == "mps":
            raise UserError("split has no kernel for mps", where=f"{OPTION}.attention", cure="use sdpa")
        check_decoding(self.decoding, self.card, option=OPTION)
        if self.gka.layers and self.quantization != "none":
            raise UserError(
                "layers whose weights are quantised cannot be replaced",
                where=f"{OPTION}.quantization",
                cure="use none, or a model that was saved with its Gated KalmaNet layers",
            )

    def provenance(self) -> Mapping[str, Any]:
        """The content digest of local files, or the commit of a hub model, and the digest of an order of layers.

        Raises:
            UserError: there is no model, or no such order.
        """
        return {**origin(self.model, self.revision, option=OPTION), **self.gka.provenance(GKA_OPTION)}

    def repeated(self, repetition: int) -> TransformersBackbone:
        """See `legalrr.protocols.RepeatableBackbone`: by a seed of its own."""
        if self.decoding == "greedy":
            raise UserError(
                "greedy answers are the same in every run",
                where=f"repetition={repetition}",
                cure=f"use {OPTION}.decoding=card, which draws them, or repetition=1",
            )
        return replace(self, seed=self.seed + repetition - 1)

    def load(self) -> TransformersEngine:
        """The engine, the same one for equal backbones until another one is loaded.

        A .gguf file is converted on its first use; otherwise only configuration and tokenizer are read, and the weights
        at the first call.

        Raises:
            UserError: no model, no chat template, no such device, or a context that model or memory cannot hold.
        """
        return _engine(self)


def forget_engine() -> None:
    """Let go of the engine that was loaded last, with its weights and what it has read."""
    _engine.cache_clear()


@lru_cache(maxsize=1)
def _engine(backbone: TransformersBackbone) -> TransformersEngine:
    checkpoint = open_checkpoint(backbone.model, backbone.revision, dtype=backbone.dtype, option=OPTION)
    check_device(backbone.device, option=OPTION)
    quantized(backbone.quantization, backbone.dtype, option=OPTION)
    context = set_context(checkpoint.config, backbone.context, option=OPTION)
    check_thinking(backbone.thinking_tokens, context, option=OPTION)
    from legalrr.backbones.local.gka_surgery import conversion_plan

    plan, layers = conversion_plan(checkpoint, backbone.gka, device=backbone.device, option=GKA_OPTION)
    weights = weight_bytes(plan.auto, plan.config, plan.folder, backbone.dtype, backbone.quantization)
    check_room(plan.config, context, weights=weights, dtype=backbone.dtype, device=backbone.device, option=OPTION)
    if backbone.prefix_cache_gb:
        _check_layers(plan)

    from legalrr.backbones.local.engine import TransformersEngine

    return TransformersEngine(
        tokenizer=checkpoint.tokenizer,
        context=context,
        load_model=lambda: _model(backbone, checkpoint, layers),
        thinking_tokens=backbone.thinking_tokens,
        card=backbone.card if backbone.decoding == "card" else None,
        seed=backbone.seed,
        batch_tokens=backbone.batch_tokens,
        prefill_chunk=backbone.prefill_chunk,
        prefix_cache_bytes=int(backbone.prefix_cache_gb * 1e9),
        token_bytes=token_bytes(plan.config, backbone.dtype),
        worthwhile=WORTHWHILE.get(backbone.attention, 0.0),
        matmul_precision=backbone.matmul_precision,
        threads=backbone.threads,
        option=OPTION,
        vision=vision_of(checkpoint.config, checkpoint.folder, option=OPTION),
    )


def _model(backbone: TransformersBackbone, checkpoint: CheckpointInfo, layers: Sequence[int]) -> PreTrainedModel:
    """The model of `checkpoint`, with new Gated KalmaNet layers in the place of `layers`."""
    from legalrr.backbones.local.gka_surgery import apply_plan
    from legalrr.backbones.local.shared_prefix import register

    register()
    config = quantized(backbone.quantization, backbone.dtype, option=OPTION)
    device_map = "auto" if backbone.device == "auto" else None if config is None else {"": backbone.device}
    try:
        model = open_weights(
            checkpoint.auto,
            str(checkpoint.folder),
            revision=None,
            local=True,
            dtype=backbone.dtype,
            attention=backbone.attention,
            option=OPTION,
            config=checkpoint.config,
            whole=True,
            quantization_config=config,
            device_map=device_map,
        )
    except (OSError, ValueError) as error:
        raise unreadable(backbone.model, error, option=OPTION) from error
    if backbone.attention == "split" and not model._supports_sdpa:
        raise UserError(
            f"{checkpoint.config.model_type} has an attention of its own",
            where=f"{OPTION}.attention",
            cure="use eager",
        )
    apply_plan(model, layers, backbone.gka, option=GKA_OPTION)
    return model if device_map else model.to(backbone.device)


def _check_layers(checkpoint: CheckpointInfo) -> None:
    from legalrr.backbones.local.cache import uncontinued

    if others := uncontinued(checkpoint.config):
        raise UserError(
            f"the states of this model cannot be continued from a prefix (it has {', '.join(sorted(others))})",
            where=f"{OPTION}.prefix_cache_gb",
            cure=f"use {OPTION}.prefix_cache_gb=0",
        )
