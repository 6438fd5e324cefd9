import json
import shutil

import pytest
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.backbones.local.checkpoint import open_checkpoint
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Call

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty local hub cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def opened(model, revision=None):
    return open_checkpoint(model, revision, dtype="float32", option="backbone")


@pytest.mark.parametrize(
    ("name", "auto"),
    [
        ("llama", AutoModelForCausalLM),
        ("phi3", AutoModelForCausalLM),
        ("qwen3_5", AutoModelForCausalLM),
        ("gemma3", AutoModelForCausalLM),
        ("qwen3_vl", AutoModelForImageTextToText),
        ("qwen3_vl_moe", AutoModelForImageTextToText),
    ],
)
def test_the_configuration_determines_the_architecture(family, name, auto):
    assert opened(str(family(name))).auto is auto


def test_a_model_that_is_not_generative_is_refused(save_tiny, tmp_path):
    folder = save_tiny(tmp_path / "bert")
    (folder / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(UserError, match=r"backbone\.model: the model is a vit, which does not generate text"):
        opened(str(folder))


@pytest.mark.parametrize("values", [{}, {"auto_map": {"AutoConfig": "code.Own"}}])
def test_an_architecture_that_transformers_lacks_is_refused_by_name_in_one_line(save_tiny, tmp_path, values):
    folder = save_tiny(tmp_path / "newer")
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen9_next"} | values))
    with pytest.raises(UserError, match=r"^backbone\.model: .* lacks the architecture of .*newer, qwen9_next") as error:
        opened(str(folder))
    assert "\n" not in str(error.value)
    assert "pip install --upgrade transformers" in str(error.value)
    assert ("such code is never run" in str(error.value)) == bool(values)


@pytest.mark.usefixtures("no_network", "hub")
def test_offline_a_hub_model_that_is_not_here_is_named(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=rf"^backbone\.model: the files of owner/model at {COMMIT} are not here"):
        opened("owner/model", COMMIT)


@pytest.mark.usefixtures("no_network")
def test_a_hub_model_is_read_at_its_commit_from_the_local_cache(hub, tiny):
    shutil.copytree(tiny, hub / "models--owner--model" / "snapshots" / COMMIT)
    forget_engine()
    engine = TransformersBackbone(name="m", model="owner/model", revision=COMMIT).load()
    call = Call(key="k", messages=({"role": "user", "content": "x"},), max_new_tokens=2)
    assert next(engine.answer(CallList([call])))
