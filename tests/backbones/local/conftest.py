"""Engines with an empty prefix cache, a slow reference model, and tiny vision-language models with pages."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.records import Page

VISION_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As in the files of Qwen3-VL, except for the sizes.
PREPROCESSOR = {
    "size": {"shortest_edge": 256, "longest_edge": 1024},
    "patch_size": 4,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "Qwen3VLProcessor",
    "image_processor_type": "Qwen2VLImageProcessorFast",
}


@pytest.fixture(scope="session")
def fresh() -> Callable[..., Any]:
    """Function (folder, **fields) that returns an engine with an empty prefix cache."""

    def load(folder: Path, **fields: Any) -> Any:
        forget_engine()
        return TransformersBackbone(**({"name": "tiny", "model": str(folder)} | fields)).load()

    return load


class ReferenceModel:
    """The model in float64, with a full forward for every token."""

    def __init__(self, folder):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").double().eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def ids(self, call):
        text = self.tokenizer.apply_chat_template(list(call.messages), tokenize=False, add_generation_prompt=True)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def logprobs(self, ids):
        import torch

        with torch.inference_mode():
            return self.model(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)

    def tokens(self, call):
        ids, tokens = self.ids(call), []
        while len(tokens) < call.max_new_tokens and self.tokenizer.eos_token_id not in tokens:
            tokens.append(self.logprobs(ids + tokens)[-1].argmax().item())
        return tokens

    def choice(self, call):
        """The greedy path among the tokens of choices, with an end token after a complete one."""
        ids, tokens, end = self.ids(call), [], self.tokenizer.eos_token_id
        choices = [self.tokenizer(choice, add_special_tokens=False)["input_ids"] + [end] for choice in call.choices]
        while end not in tokens and len(tokens) < call.max_new_tokens:
            matching = [choice for choice in choices if choice[: len(tokens)] == tokens]
            allowed = sorted({choice[len(tokens)] for choice in matching})
            tokens.append(allowed[self.logprobs(ids + tokens)[-1][allowed].argmax().item()])
        return self.tokenizer.decode(tokens, skip_special_tokens=True), len(tokens)

    def greedy(self, call):
        return self.tokenizer.decode(self.tokens(call), skip_special_tokens=True)

    def logprob(self, call, answer):
        ids = self.ids(call)
        answer_ids = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        after = self.logprobs(ids + answer_ids)[len(ids) - 1 :]
        return sum(after[place, token].item() for place, token in enumerate(answer_ids))


@pytest.fixture(scope="session")
def reference(tiny: Path) -> ReferenceModel:
    """The reference of the tiny Llama."""
    return ReferenceModel(tiny)


@pytest.fixture(scope="session")
def seeing(save_family: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Function (family) that returns the folder of its tiny vision-language model, saved once."""
    from transformers import AutoTokenizer

    saved: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in saved:
            folder = save_family(tmp_path_factory.mktemp(f"seeing-{name}"), name, vocab_size=263)
            tokenizer = AutoTokenizer.from_pretrained(folder)
            marks = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
            tokenizer.add_special_tokens({"additional_special_tokens": marks})
            tokenizer.chat_template = VISION_TEMPLATE
            tokenizer.save_pretrained(folder)
            (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
            saved[name] = folder
        return saved[name]

    return get


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, ...]:
    """Pages of noise: four of 24 x 32 pixels, one of 32 x 16."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(5)
    sizes = [(32, 24)] * 4 + [(16, 32)]
    first, *others = [Image.fromarray(noise.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]
    path = tmp_path_factory.mktemp("scans") / "scan.pdf"
    first.save(path, save_all=True, append_images=others, resolution=72)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return tuple(Page(path=str(path), number=n, sha256=sha256, start=0, end=0, dpi=72) for n in range(1, 6))
