import os
import subprocess
import sys

import pytest

from legalrr.backbones import vllm
from legalrr.backbones.sampling import CardSampling
from legalrr.backbones.vllm import VLLMBackbone
from legalrr.errors import UserError
from legalrr.protocols import Backbone
from legalrr.stage import identity

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def make(**fields):
    return VLLMBackbone(**({"name": "m", "model": "somewhere"} | fields))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dtype", "auto"),
        ("decoding", "beam"),
        ("context", 0),
        ("thinking_tokens", -1),
        ("tensor_parallel", 0),
        ("gpu_memory_utilization", 0.0),
        ("gpu_memory_utilization", 1.5),
        ("kv_cache_gb", 0.0),
    ],
)
def test_impossible_values_are_refused_by_name(field, value):
    with pytest.raises(UserError, match=rf"^backbone\.{field}: .*{value}"):
        make(**{field: value})


def test_sampling_needs_a_card_within_vllms_ranges():
    with pytest.raises(UserError, match=r"^backbone\.card: decoding=card needs sampling settings .*temperature, top_p"):
        make(decoding="card")
    with pytest.raises(UserError, match=r"^backbone\.card\.top_p: top_p is 2"):
        make(card=CardSampling(temperature=1.0, top_p=2.0))
    with pytest.raises(
        UserError, match=r"^backbone\.card\.temperature: temperature is 2\.5 .vLLM accepts 0\.0 to 2\.0"
    ):
        make(card=CardSampling(temperature=2.5))
    with pytest.raises(UserError, match=r"^backbone\.card\.presence_penalty: presence_penalty is -3"):
        make(card=CardSampling(temperature=1.0, presence_penalty=-3.0))
    assert isinstance(make(decoding="card", card=CardSampling(temperature=0.7)), Backbone)


def test_constructing_a_backbone_imports_neither_torch_nor_vllm():
    program = (
        "import sys; from legalrr.backbones.vllm import VLLMBackbone as V; V(name='n', model='m')\n"
        "print(sorted({'torch', 'transformers', 'vllm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_options_of_speed_and_memory_are_not_in_the_identity():
    quick = make(name="n", tensor_parallel=4, gpu_memory_utilization=0.5, kv_cache_gb=3.0, enforce_eager=True)
    assert identity(quick) == identity(make())
    changes = {"dtype": "float32", "context": 9, "thinking_tokens": 1, "seed": 1, "quantization": "fp8"}
    assert len({identity(make(**{name: value})) for name, value in changes.items()} | {identity(make())}) == 6


def test_provenance_is_the_digest_of_local_files_or_the_commit_of_a_hub_model(tiny):
    assert set(make(model=str(tiny)).provenance()) == {"sha256"}
    assert make(model="owner/model", revision=COMMIT).provenance() == {"revision": COMMIT}


def test_missing_vllm_is_an_error_before_any_file_is_read(monkeypatch):
    monkeypatch.setattr(vllm, "find_spec", lambda name: None)
    before = dict(os.environ)
    with pytest.raises(UserError, match=r"^backbone: the package vllm is not installed .pip install 'legalrr\[vllm\]'"):
        make(model="no such model").load()
    assert dict(os.environ) == before
