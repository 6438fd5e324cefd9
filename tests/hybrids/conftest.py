"""Fixtures: a tiny Llama of four layers, and synthetic judgments to prime it on."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.backbones.local.gka_options import GkaOptions
from legalrr.hybrids.context import PrimingContext, prepare_priming
from legalrr.hybrids.settings import AlignSettings, CheckpointSettings, DistilSettings, HeldOut, PrimeSettings
from legalrr.records import Judgment

WORDS = (
    "the",
    "appeal",
    "of",
    "a",
    "tenant",
    "is",
    "allowed",
    "with",
    "costs",
    "and",
    "order",
    "set",
    "aside",
    "by",
    "court",
)


def judgments(count: int = 12, words: int = 60) -> list[Judgment]:
    draw = random.Random(5)
    return [
        Judgment(id=f"case-{number}", text=" ".join(draw.choice(WORDS) for _ in range(words)))
        for number in range(count)
    ]


@dataclass(frozen=True, kw_only=True)
class MadeUp:
    """A corpus of synthetic judgments."""

    name: str = "made up"
    split: str | None = None
    train_split: str | None = None

    def read(self, split: str | None) -> Iterator[Judgment]:
        yield from judgments()


@pytest.fixture(scope="session")
def four(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """Folder of a tiny Llama of four layers."""
    from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("four")
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    torch.manual_seed(3)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            initializer_range=0.3,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def backbone(four: Path) -> Iterator[TransformersBackbone]:
    """The tiny Llama, whose layers 1 and 3 become Gated KalmaNet."""
    yield TransformersBackbone(
        name="four", model=str(four), gka=GkaOptions(layers=[1, 3], num_iter=5, chunk_size=16), threads=1
    )
    forget_engine()


def short(folder: Path, **changes: Any) -> PrimeSettings:
    """The settings of a short run."""
    given: dict[str, Any] = {
        "folder": str(folder),
        "window": 48,
        "minutes": None,
        "warmup": 2,
        "held_out": HeldOut(share=0.3, judgments=2),
        "align": AlignSettings(steps=4, fit=2, rate=3e-3),
        "distil": DistilSettings(steps=4, rate=1e-3, slice=20),
        "checkpoint": CheckpointSettings(minutes=60.0, steps=2),
    }
    return PrimeSettings(**(given | changes))


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., PrimeSettings]:
    """Function (**changes) that returns the settings of a short run in its own folder."""
    return partial(short, tmp_path / "run")


@pytest.fixture
def context(backbone: TransformersBackbone, settings: Callable[..., PrimeSettings]) -> Iterator[PrimingContext]:
    """Context of a short run; the model is loaded anew, as tests may change it."""
    forget_engine()
    yield prepare_priming(settings(), MadeUp(), backbone)
    forget_engine()
