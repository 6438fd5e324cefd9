"""The backbone that runs a causal language model of the transformers library in this process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.backbones.engine import TransformersEngine
from legalrr.backbones.gguf import converted
from legalrr.backbones.source import content_digest, locate
from legalrr.backbones.weights import check_device, open_weights, unreadable
from legalrr.errors import UserError
from legalrr.stage import runtime

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

OPTION = "backbone"
DTYPES = ("float32", "bfloat16", "float16")
ATTENTIONS = ("sdpa", "eager", "flash_attention_2")
MATMUL_PRECISIONS = ("highest", "high", "medium")
DEVICE = re.compile(r"cpu|cuda|cuda:\d+|mps")


@dataclass(frozen=True, kw_only=True)
class TransformersBackbone:
    """A causal language model: greedy answers and log-probabilities, on a CPU or an accelerator."""

    name: str = runtime()
    """Name in tables."""
    model: str
    """Folder with safetensors, .gguf file, `package:<package>/<file>.gguf`, or a hub id with `revision`."""
    revision: str | None = None
    """Commit (40 hexadecimal digits) of a hub model; None for local files."""
    dtype: str = "float32"
    """float32, bfloat16 or float16. Only in float32 do answers repeat however a prompt is cut into parts."""
    attention: str = "sdpa"
    """sdpa, eager or flash_attention_2."""
    matmul_precision: str = "highest"
    """Of float32 products (`torch.set_float32_matmul_precision`): highest, high or medium. What the two others compute
    in depends on the processor."""
    context: int | None = None
    """Tokens that prompt and answer may take together; None: as many as the model was made for."""
    device: str = runtime(default="cpu")
    """cpu, cuda, cuda:N or mps."""
    batch_tokens: int = runtime(default=32768)
    """Tokens of padded prompts and answers that are written together."""
    prefix_cache_gb: float = runtime(default=2.0)
    """Memory (1e9 bytes) for states of what was read, for prompts that begin the same way; 0: read everything anew."""
    threads: int | None = runtime(default=None)
    """Threads of torch on a CPU; None: as torch decides."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse values that do not exist."""
        for option, value, allowed in (
            ("dtype", self.dtype, DTYPES),
            ("attention", self.attention, ATTENTIONS),
            ("matmul_precision", self.matmul_precision, MATMUL_PRECISIONS),
        ):
            if value not in allowed:
                raise UserError(
                    f"unknown {option} {value!r}", where=f"{OPTION}.{option}", cure=f"use {', '.join(allowed)}"
                )
        if not DEVICE.fullmatch(self.device):
            raise UserError(
                f"unknown device {self.device!r}", where=f"{OPTION}.device", cure="use cpu, cuda, cuda:N or mps"
            )
        for option, number in (
            ("context", self.context),
            ("batch_tokens", self.batch_tokens),
            ("threads", self.threads),
        ):
            if number is not None and number < 1:
                raise UserError(f"{option} is {number}", where=f"{OPTION}.{option}", cure="give a positive number")
        if self.prefix_cache_gb < 0:
            raise UserError(
                f"prefix_cache_gb is {self.prefix_cache_gb}",
                where=f"{OPTION}.prefix_cache_gb",
                cure="give a positive number, or 0 for no cache",
            )

    def provenance(self) -> Mapping[str, Any]:
        """The content digest of local files, or the commit of a hub model; raises UserError where there is no model."""
        path = locate(self.model, self.revision, option=OPTION)
        return {"revision": self.revision} if path is None else {"sha256": content_digest(path)}

    def load(self) -> TransformersEngine:
        """The engine, the same one for equal backbones until another one is loaded.

        A .gguf file is converted on its first use; otherwise only configuration and tokenizer are read, and the weights
        at the first call.

        Raises:
            UserError: no model, no chat template, no such device, or an impossible context.
        """
        return _engine(self)


def forget_engine() -> None:
    """Let go of the engine that was loaded last, with its weights and what it has read."""
    _engine.cache_clear()


@lru_cache(maxsize=1)
def _engine(backbone: TransformersBackbone) -> TransformersEngine:
    from transformers import AutoConfig, AutoTokenizer

    check_device(backbone.device, option=OPTION)
    path = locate(backbone.model, backbone.revision, option=OPTION)
    if path is not None and path.is_file():
        path = converted(path, backbone.dtype, option=OPTION)
    place = backbone.model if path is None else str(path)
    try:
        config = AutoConfig.from_pretrained(place, revision=backbone.revision, local_files_only=path is not None)
        tokenizer = AutoTokenizer.from_pretrained(place, revision=backbone.revision, local_files_only=path is not None)
    except (OSError, ValueError) as error:
        raise unreadable(backbone.model, error, option=OPTION) from error
    if tokenizer.chat_template is None:
        raise UserError(
            f"{backbone.model} has no chat template",
            where=f"{OPTION}.model",
            cure="choose the instruction-tuned version, or put a chat_template.jinja beside its tokenizer",
        )
    if not tokenizer.is_fast:
        raise UserError(
            f"the tokenizer of {backbone.model} does not tell offsets",
            where=f"{OPTION}.model",
            cure="save it with a tokenizer.json",
        )
    longest = config.get_text_config().max_position_embeddings
    if backbone.context is not None and backbone.context > longest:
        raise UserError(
            f"a context of {backbone.context} tokens is more than the model was made for",
            where=f"{OPTION}.context",
            cure=f"at most {longest}",
        )
    if backbone.prefix_cache_gb:
        _check_layers(config)
    return TransformersEngine(
        tokenizer=tokenizer,
        context=backbone.context or longest,
        load_model=lambda: _model(backbone, place, local=path is not None),
        batch_tokens=backbone.batch_tokens,
        prefix_cache_bytes=int(backbone.prefix_cache_gb * 1e9),
        matmul_precision=backbone.matmul_precision,
        threads=backbone.threads,
        option=OPTION,
    )


def _model(backbone: TransformersBackbone, place: str, *, local: bool) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    try:
        model = open_weights(
            AutoModelForCausalLM,
            place,
            revision=backbone.revision,
            local=local,
            dtype=backbone.dtype,
            attention=backbone.attention,
            option=OPTION,
        )
    except (OSError, ValueError) as error:
        raise unreadable(backbone.model, error, option=OPTION) from error
    return model.to(backbone.device)


def _check_layers(config: PretrainedConfig) -> None:
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    others = {type(layer).__name__ for layer in DynamicCache(config=config).layers if type(layer) is not DynamicLayer}
    if others:
        raise UserError(
            f"the states of this model cannot be cut to a prefix (it has {', '.join(sorted(others))})",
            where=f"{OPTION}.prefix_cache_gb",
            cure=f"use {OPTION}.prefix_cache_gb=0",
        )
