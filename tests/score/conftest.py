"""A tiny encoder that the tests make: three layers, random weights, a token per letter; and run folders to explain."""

import json
import random
import string
from collections.abc import Callable
from pathlib import Path

import pytest

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LONGEST = 64
WORDS = (
    *("the", "court", "Courts", "held", "holding", "that", "appeal", "appeals", "dismissed", "allowed", "tenant"),
    *("paid", "rent", "law,", "2019", "S.", "section", "statutes", "(1)", "was", "were", "reasoned", "order."),
)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny BERT, saved as one that fills in words: without a pooler."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, BertTokenizer

    folder = tmp_path_factory.mktemp("encoder")
    letters = [*string.ascii_lowercase, *string.digits, *".,()"]
    vocabulary = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary))
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    tokenizer.model_max_length = LONGEST
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=LONGEST,
        initializer_range=0.1,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pairs() -> list[tuple[str, str]]:
    """Fifty pairs of texts of one to twelve words."""
    drawn = random.Random(3)
    return [
        (" ".join(drawn.choices(WORDS, k=drawn.randint(1, 12))), " ".join(drawn.choices(WORDS, k=drawn.randint(1, 12))))
        for _ in range(50)
    ]


@pytest.fixture
def explain() -> Callable[..., Path]:
    """Function (folder, said, court) that writes what a run folder holds of explanations.

    `said` has (turn, text, how it ended) of each judgment by id. The court's analysis is `court`, its ratio another
    text, which judgment d lacks; roles of judgment a were found by a tagger.
    """

    def write(folder: Path, said: dict[str, list[tuple[str, str, str]]], court: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        predictions, references = [], []
        for id, turns in said.items():
            tokens = {"prompt_tokens": 9, "cached_tokens": 0, "new_tokens": 5}
            told = [{"name": name, "text": text, "finish_reason": end, **tokens} for name, text, end in turns]
            predictions.append({"id": id, "verdict": "allowed", "reason": "matched", "turns": told})
            ratio = {"name": "ratio", "role": "RATIO", "text": " " if id == "d" else "Rent paid is not due."}
            analysis = {"name": "analysis", "role": "ANALYSIS", "text": court}
            source = "crf" if id == "a" else "gold"
            references.append({"id": id, "scheme": "build", "source": source, "turns": [analysis, ratio]})
        for name, lines in (("predictions", predictions), ("references", references)):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return folder

    return write
