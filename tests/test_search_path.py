"""Launchers of other plugins do not get in the way of those of conf/hydra/launcher."""

import warnings
from copy import deepcopy

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from legalrr.configuration import compose_cells


def test_a_launcher_of_another_plugin_is_no_schema_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """hydra-submitit-launcher stores its own configuration under the same name."""
    Plugins.instance()
    store = ConfigStore.instance()
    monkeypatch.setattr(store, "repo", deepcopy(store.repo))
    theirs = {"_target_": "other.Launcher", "submitit_folder": "x"}
    for name in ("submitit_local", "theirs"):
        store.store(group="hydra/launcher", name=name, node=theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ((_, config),) = compose_cells(["hydra/launcher=submitit_local", "hydra.launcher.shards=3"])
        ((_, other),) = compose_cells(["hydra/launcher=theirs"])
    assert config.hydra.launcher._target_ == "hydra_plugins.submitit_launcher.SubmititLauncher"
    assert config.hydra.launcher.shards == 3
    assert "submitit_folder" not in config.hydra.launcher
    assert other.hydra.launcher == theirs
