"""Python code that comes with a checkpoint is never run, and nobody is prompted to allow it."""

import ast
import builtins
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import legalrr
from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.local.checkpoint import open_checkpoint, open_layers
from legalrr.backbones.openai.tokens import open_tokens
from legalrr.errors import UserError

LOADERS = {"from_pretrained", "get_config_dict", "LLM"}
OWN = {"AutoConfig": "code.Own", "AutoModel": "code.Own", "AutoModelForCausalLM": "code.Own"}


def loader_calls() -> list[tuple[str, ast.Call]]:
    """All calls in legalrr that open a checkpoint, each with its file and line."""
    root = Path(legalrr.__file__).parent
    return [
        (f"{path.relative_to(root)}:{node.lineno}", node)
        for path in sorted(root.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", None)) in LOADERS
    ]


def forbids_code(call: ast.Call) -> bool:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    value = given.get("trust_remote_code")
    return isinstance(value, ast.Constant) and value.value is False


def test_every_call_that_opens_a_checkpoint_forbids_its_code() -> None:
    calls = loader_calls()
    assert len(calls) >= 9
    assert [where for where, call in calls if not forbids_code(call)] == []


@pytest.fixture
def hostile(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Path, Path]]:
    """Function (file, **values) that copies the tiny model with `values` in a JSON file, and code that leaves a mark.

    Returns the folder and the mark. A prompt on the terminal would be answered with y.
    """
    monkeypatch.setattr(builtins, "input", lambda *_: "y")

    def build(file: str, **values: object) -> tuple[Path, Path]:
        folder, mark = tmp_path / "hostile", tmp_path / "mark"
        shutil.copytree(tiny, folder, dirs_exist_ok=True)
        path = folder / file
        content = json.loads(path.read_bytes()) if path.is_file() else {}
        path.write_text(json.dumps({**content, **values}), encoding="utf-8")
        (folder / "code.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Own: pass\n", encoding="utf-8")
        (folder / "custom_generate").mkdir(exist_ok=True)
        shutil.copy(folder / "code.py", folder / "custom_generate" / "generate.py")
        return folder, mark

    return build


def openings(folder: Path) -> dict[str, Callable[[], object]]:
    model = str(folder)
    return {
        "backbone": lambda: TransformersBackbone(name="m", model=model).load(),
        "checkpoint": lambda: open_checkpoint(model, None, dtype="float32", option="backbone"),
        "encoder": lambda: open_layers(model, None, layer=1, device="cpu", option="--encoder", layer_option="--layer"),
    }


@pytest.mark.parametrize("way", ["backbone", "checkpoint", "encoder"])
def test_a_model_with_code_of_its_own_is_refused_in_one_line(hostile, way, capsys) -> None:
    folder, mark = hostile("config.json", model_type="own", auto_map=OWN)
    with pytest.raises(UserError, match=r"needs Python code from its checkpoint, and such code is never run") as error:
        openings(folder)[way]()
    assert "\n" not in str(error.value)
    assert "trust_remote_code" not in str(error.value)
    assert not mark.exists()
    assert capsys.readouterr().out == ""


def test_a_tokenizer_with_code_of_its_own_is_not_run(hostile) -> None:
    own = {"AutoTokenizer": ["code.Own", "code.Own"]}
    folder, mark = hostile("tokenizer_config.json", tokenizer_class="Own", auto_map=own)
    with pytest.raises(UserError, match=r"^backbone\.tokenizer: .*such code is never run"):
        open_tokens(str(folder), None, option="backbone")
    with pytest.raises(UserError, match=r"^backbone\.model: .*such code is never run"):
        open_checkpoint(str(folder), None, dtype="float32", option="backbone")
    assert not mark.exists()


def test_code_beside_a_known_architecture_is_not_run(hostile) -> None:
    folder, mark = hostile("config.json", auto_map=OWN)
    assert type(TransformersBackbone(name="m", model=str(folder)).load().model).__name__ == "LlamaForCausalLM"
    assert not mark.exists()
