"""`meta` nodes of conf/: complete, not part of a stage, and for one release still read from comments."""

import logging
import re
import shutil
from dataclasses import replace

import pytest
import yaml
from omegaconf import OmegaConf

from legalrr import paths
from legalrr.backbones import facts as backbones
from legalrr.configuration import read_metadata
from legalrr.corpora import catalogue as corpora
from legalrr.errors import UserError
from legalrr.paths import root
from legalrr.protocols import Backbone, Corpus
from legalrr.stage import META, build, description, identity

FILES = {
    "corpus": sorted((root() / "conf" / "corpus").glob("*.yaml")),
    "backbone": [root() / "conf" / "backbone" / f"{name}.yaml" for name in backbones.backbone_names()],
}
ALL = [(group, file) for group, files in FILES.items() for file in files]
IDS = [f"{group}={file.stem}" for group, file in ALL]


def stated(file):
    return yaml.safe_load(file.read_text("utf-8"))[META]


def in_comments(file) -> str:
    """Write a file in the former format: facts in comments at the head."""
    config = yaml.safe_load(file.read_text("utf-8"))
    facts = config.pop(META)
    head = "".join(f"# {key.capitalize()}: {value}\n" for key, value in facts.items())
    return head + yaml.safe_dump(config, sort_keys=False, width=1000)


@pytest.mark.parametrize("file", FILES["corpus"], ids=lambda file: file.stem)
def test_every_corpus_states_all_facts(file):
    assert list(stated(file)) == list(corpora.FACTS)
    assert all(isinstance(value, str) and value.strip() for value in stated(file).values())


@pytest.mark.parametrize("file", FILES["backbone"], ids=lambda file: file.stem)
def test_every_backbone_states_the_facts_missing_in_its_configuration(file):
    one, facts = backbones.card(file.stem), stated(file)
    assert set(facts) <= set(backbones.FACTS)
    assert all(isinstance(value, int) or value.strip() for value in facts.values())
    wanted = {"licence"}
    if one.model is not None:
        wanted |= {"source", "read"} | (set() if one.served else {"context", "parameters", "cache", "engines"})
    if file.stem.startswith("gka_"):
        wanted |= {"state"}
    # Of other recurrent layers the state may be unknown.
    assert set(facts) - {"uncertain"} - ({"state"} - wanted) == wanted


@pytest.mark.parametrize(("group", "file"), ALL, ids=IDS)
def test_no_fact_is_in_a_comment(group, file):
    assert not re.search(
        r"^# (What|Licence|Citation|Get|Context|Parameters|Cache|State):", file.read_text("utf-8"), re.M
    )


@pytest.mark.parametrize("name", ["specimen", "build", "predex"])
def test_the_node_is_not_part_of_the_stage_or_its_identity(name):
    node = corpora.card(name).node()
    bare = OmegaConf.create({key: value for key, value in node.items() if key != META})
    other = OmegaConf.merge(node, {META: {"what": "something else"}})
    stages = [build(one, Corpus, option="corpus") for one in (node, bare, other)]
    assert len({identity(stage) for stage in stages}) == 1
    assert META not in description(stages[0])["fields"]


def test_a_typo_next_to_the_node_raises():
    node = OmegaConf.create({**OmegaConf.to_container(backbones.card("echo").node), "metta": {"licence": "x"}})
    with pytest.raises(UserError, match="metta"):
        build(node, Backbone, option="backbone")


# ---------------------------------------------------------------- comments, for one release


@pytest.mark.parametrize("group", ["corpus", "backbone"])
def test_facts_in_comments_give_the_same_cards(tmp_path, monkeypatch, group):
    module = {"corpus": corpora, "backbone": backbones}[group]
    folder = tmp_path / "conf" / group
    shutil.copytree(root() / "conf", tmp_path / "conf")
    expected = [module.card(file.stem) for file in FILES[group]]
    for file in FILES[group]:
        (folder / file.name).write_text(in_comments(file), "utf-8")
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    found = [module.card(file.stem) for file in FILES[group]]
    # The engines of a model are no fact in comments.
    blank = {"file": None} if group == "corpus" else {"node": None, "engines": ()}
    assert [replace(one, **blank) for one in found] == [replace(one, **blank) for one in expected]


def test_a_warning_shows_the_node_that_replaces_comments(tmp_path, caplog):
    file = tmp_path / "mine.yaml"
    file.write_text('# What: mine: a "corpus"\n#   of two\n# Licence: MIT\n# Of no account: x\nname: mine\n', "utf-8")
    with caplog.at_level(logging.WARNING):
        found = read_metadata(file, corpora.FACTS)
    assert found == {"what": 'mine: a "corpus" of two', "licence": "MIT"}
    (record,) = caplog.records
    told = record.getMessage()
    assert told.startswith(f"{file}: ")
    assert "\n" not in told
    written = tmp_path / "new.yaml"
    written.write_text("# Licence: not read\n" + told.partition("Write: ")[2] + "\nname: mine\n", "utf-8")
    caplog.clear()
    assert read_metadata(written, corpora.FACTS) == found
    assert not caplog.records


def test_a_file_without_facts_is_read_without_a_warning(tmp_path, caplog):
    (tmp_path / "mine.yaml").write_text("# A model of mine.\nname: mine\n", "utf-8")
    assert read_metadata(tmp_path / "mine.yaml", backbones.FACTS) == {}
    assert not caplog.records


def test_a_fact_may_be_a_number(tmp_path):
    (tmp_path / "mine.yaml").write_text("meta: {parameters: 9000, context: 512}\n", "utf-8")
    assert read_metadata(tmp_path / "mine.yaml", backbones.FACTS) == {"parameters": "9000", "context": "512"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("meta: [a]", r"mine\.yaml: meta is not a mapping \(state licence, "),
        ("meta:", r"mine\.yaml: meta is not a mapping"),
        ("meta: {license: MIT}", r"mine\.yaml: unknown fact meta\.license \(state licence, "),
        ("meta: {licence: true}", r"mine\.yaml: meta\.licence is not text"),
        ("meta: {licence: [MIT]}", r"mine\.yaml: meta\.licence is not text"),
        ("meta: {licence: }", r"mine\.yaml: meta\.licence is not text"),
        ("meta: {licence: MIT", r"mine\.yaml: not YAML: .*line 1"),
    ],
)
def test_an_invalid_node_names_its_file(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text + "\n", "utf-8")
    with pytest.raises(UserError, match=message) as caught:
        read_metadata(tmp_path / "mine.yaml", backbones.FACTS)
    assert "\n" not in str(caught.value)
