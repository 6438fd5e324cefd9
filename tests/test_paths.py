from pathlib import Path

import pytest

from legalrr import paths
from legalrr.errors import UserError


def test_root_contains_the_configuration() -> None:
    assert (paths.root() / "conf" / "config.yaml").is_file()


def test_installation_without_configuration_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "legalrr"
    package.mkdir()
    monkeypatch.setattr(paths, "__file__", str(package / "places.py"))
    with pytest.raises(UserError, match=r"conf/config\.yaml is missing"):
        paths.root()


def test_configuration_inside_an_installed_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "legalrr"
    (package / "conf").mkdir(parents=True)
    (package / "conf" / "config.yaml").touch()
    monkeypatch.setattr(paths, "__file__", str(package / "places.py"))
    assert paths.root() == package.resolve()


def test_an_installed_package_downloads_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "legalrr"
    (package / "conf").mkdir(parents=True)
    (package / "conf" / "config.yaml").touch()
    monkeypatch.setattr(paths, "__file__", str(package / "places.py"))
    monkeypatch.delenv("LEGALRR_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert paths.data_root() == tmp_path / "data" / "downloads"


def test_data_root_is_the_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGALRR_DATA", str(tmp_path))
    assert paths.data_root() == tmp_path


@pytest.mark.parametrize("unset", [True, False])
def test_data_root_is_the_download_folder_without_the_variable(monkeypatch: pytest.MonkeyPatch, unset: bool) -> None:
    if unset:
        monkeypatch.delenv("LEGALRR_DATA", raising=False)
    else:
        monkeypatch.setenv("LEGALRR_DATA", "")
    assert paths.data_root() == paths.root() / "data" / "downloads"


def test_home_is_expanded_in_variable_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LEGALRR_DATA", "~/corpora")
    assert paths.data_root() == tmp_path / "corpora"
    assert paths.resolve("~/x.csv") == tmp_path / "x.csv"


def test_prefixes_of_a_config_path_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGALRR_DATA", str(tmp_path))
    assert paths.resolve("$LEGALRR_DATA/a/b.txt") == tmp_path / "a" / "b.txt"
    assert paths.resolve("$LEGALRR/data/x") == paths.root() / "data" / "x"


@pytest.mark.parametrize("path", ["/abs/x", "rel/x", "$OTHER/x", "x/$LEGALRR/y"])
def test_other_paths_are_unchanged(path: str) -> None:
    assert paths.resolve(path) == Path(path)
