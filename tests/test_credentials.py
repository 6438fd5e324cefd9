"""Credentials in place of names are refused by their shape, not shown and not written."""

import subprocess
import sys

import pytest

from legalrr.credentials import is_variable_name, require_no_credentials
from legalrr.errors import UserError

NAMES = ("OPENAI_API_KEY", "HF_TOKEN", "LEGALRR_TEST_KEY", "openai_key", "key2", "GPT4ALL_KEY", "K8S_TOKEN", "X")
KEYS = (
    "sk-proj-abc",
    "sk_live_abcdefgh",
    "gsk_abcdEFGH1234567890zzzz",
    "hf_abcdefghijklmnopqrstuvwxyzabcdefgh",
    "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyD4f9Qk2mN8pL",
    "a3f9c2b17d5e4f608192a3b4c5d6e7f8",
    "hunter2password",
    "Bearer abc",
    "",
)
URLS = (
    "http://me:hunter2@localhost:9/v1",
    "https://hunter2@there/v1",
    "me:hunter2@there/v1",
    "https://t/v1?key=hunter2",
)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_variables_are_accepted(name):
    assert is_variable_name(name)
    require_no_credentials([f"backbone.api_key_env={name}", "backbone={api_key_env: " + name + ", model: a}"])


@pytest.mark.parametrize("key", KEYS)
def test_keys_are_not_names_of_variables(key):
    assert not is_variable_name(key)


@pytest.mark.parametrize("key", [key for key in KEYS if key and " " not in key])
@pytest.mark.parametrize(
    "form",
    [
        "backbone.api_key_env={}",
        "+backbone.api_key_env='{}'",
        "backbone.api_key_env=X,{}",
        "backbone={{api_key_env: {}}}",
    ],
)
def test_a_key_in_an_override_is_refused_without_being_shown(key, form):
    with pytest.raises(UserError, match=r"^backbone\.api_key_env: not a name") as refused:
        require_no_credentials(["arm=direct", form.format(key)])
    assert key not in str(refused.value)


@pytest.mark.parametrize("url", URLS)
def test_a_password_in_a_url_is_refused_without_being_shown(url):
    with pytest.raises(UserError, match="a user, password, query") as refused:
        require_no_credentials([f"backbone.base_url={url}"])
    assert "hunter2" not in str(refused.value)
    with pytest.raises(UserError, match="a user, password, query"):
        require_no_credentials([f"backbone.base_url=[http://localhost:8000/v1,{url}]"])


def test_other_overrides_are_accepted():
    require_no_credentials(
        [
            "arm=d,r",
            "backbone.base_url=http://localhost:8000/v1",
            "backbone.base_url=[http://localhost:8000/v1,http://localhost:8001/v1]",
            "backbone.api_key_env=null",
            "corpus.folder=/a@b/c",
            "backbone.api_key_env=${oc.env:NAME}",
            "backbone.model=Qwen/Qwen3-8B@main",
            "-m",
        ]
    )


@pytest.mark.parametrize("override", [f"backbone.api_key_env={KEYS[2]}", f"backbone.base_url={URLS[0]}"])
@pytest.mark.parametrize("mode", [[], ["-m"]])
def test_a_refused_credential_is_written_to_no_file(tmp_path, override, mode):
    command = [
        sys.executable,
        "-m",
        "legalrr",
        *mode,
        "arm=direct",
        "backbone=local",
        "engine=server",
        "backbone.model=m",
        override,
    ]
    done = subprocess.run([*command, f"runs={tmp_path}"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert override.partition("=")[2] not in done.stderr + done.stdout
    assert list(tmp_path.rglob("*")) == []
