import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.openai.tokens import (
    CharacterTokens,
    characters_per_token,
    open_tokens,
    resolve_tokenizer,
    tokenizer_folder,
)
from legalrr.errors import UserError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@given(st.text(), st.integers(1, 9))
def test_characters_are_counted_in_pieces_that_cover_the_text(text, size):
    ends = CharacterTokens(size).token_ends(text)
    lengths = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    assert sum(lengths) == len(text)
    assert all(length == size for length in lengths[:-1])
    assert all(1 <= length <= size for length in lengths[-1:])


@given(st.text(), st.text(), st.integers(1, 9))
def test_a_text_counts_no_more_than_its_parts(first, second, size):
    count = CharacterTokens(size).token_ends
    assert len(count(first + second)) <= len(count(first)) + len(count(second))


def test_a_tokenizer_counts_and_encodes_as_the_same_model_in_process(tiny):
    tokens = open_tokens(str(tiny), None, option="backbone")
    engine = TransformersBackbone(name="tiny", model=str(tiny)).load()
    for text in ("", "Is it so?", "naïve ₹5 \n\n lakh"):
        assert tokens.token_ends(text) == engine.token_ends(text)
    messages = [{"role": "user", "content": "Is it so?"}]
    ids = engine.tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=True, return_dict=False)
    assert tokens.conversation(messages) == tokens.prompt_ids(messages) == ids
    # The tokenizer adds a BOS token to every text, but not to answers.
    assert tokens.answer("NO") == engine.tokenizer("NO", add_special_tokens=False)["input_ids"]


def test_prompts_without_a_chat_template_have_the_ids_of_their_texts(tiny):
    tokens = open_tokens(str(tiny), None, option="backbone")
    tokens.tokenizer.chat_template = None
    messages = [{"role": "system", "content": "One."}, {"role": "user", "content": "Two?"}]
    assert tokens.prompt_ids(messages) == tokens.answer("One.") + tokens.answer("Two?")


def test_pieces_of_characters_share_ids_as_prompts_share_a_beginning():
    counter = CharacterTokens(3)
    first, other = (counter.prompt_ids([{"role": "user", "content": text}]) for text in ("abcdefgh", "abcdefxyz"))
    assert (len(first), len(other)) == (3, 3)
    assert first[:2] == other[:2]
    assert first[2] != other[2]


def test_a_conversation_that_the_template_rejects_is_an_error_with_its_reason(tiny):
    tokens = open_tokens(str(tiny), None, option="backbone")
    with pytest.raises(UserError, match=r"^backbone.tokenizer: .*no tools here"):
        tokens.conversation([{"role": "tool", "content": "x"}])


def test_a_tokenizer_without_a_chat_template_counts_but_does_not_compare(tiny, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    tokens = open_tokens(str(tmp_path), None, option="backbone")
    assert tokens.token_ends("ab") == [1, 2]
    with pytest.raises(UserError, match=r"backbone.tokenizer: .*no chat template.*backbone.logprobs=none"):
        tokens.conversation([{"role": "user", "content": "x"}])


def test_a_number_of_characters_is_parsed():
    assert characters_per_token("characters:12", option="backbone") == 12
    assert characters_per_token("owner/model", option="backbone") is None
    assert open_tokens("characters:2", None, option="backbone").token_ends("abc") == [2, 3]


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_a_hub_tokenizer_is_left_to_the_hub(revision):
    assert tokenizer_folder("owner/model", revision, option="backbone") is None


def test_the_commit_of_a_hub_tokenizer_enters_the_identity(no_network):
    assert resolve_tokenizer("owner/model", COMMIT, option="backbone") == COMMIT
    assert resolve_tokenizer("characters:3", None, option="backbone") is None


def test_a_commit_for_a_local_tokenizer_is_refused(tmp_path):
    for tokenizer in (str(tmp_path), "characters:3"):
        with pytest.raises(UserError, match=r"^backbone.tokenizer_revision: .*does not apply"):
            tokenizer_folder(tokenizer, COMMIT, option="backbone")


@pytest.mark.parametrize("name", ["gpt-4.1", "a/b/c"])
def test_an_unknown_tokenizer_is_refused(name):
    with pytest.raises(UserError, match=r"^backbone\.tokenizer"):
        tokenizer_folder(name, None, option="backbone")


def test_a_folder_without_a_tokenizer_is_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(UserError, match=r"^backbone.tokenizer: cannot read the tokenizer"):
        open_tokens(str(tmp_path), None, option="backbone")
