"""Fixtures: a tiny encoder with three layers, random weights and a token per letter; run folders with explanations."""

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
    """Folder of a tiny BERT, saved as a masked language model: without a pooler."""
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
    rng = random.Random(3)
    return [
        (" ".join(rng.choices(WORDS, k=rng.randint(1, 12))), " ".join(rng.choices(WORDS, k=rng.randint(1, 12))))
        for _ in range(50)
    ]


@pytest.fixture
def explain() -> Callable[..., Path]:
    """Function (folder, generated, court) that writes the files of a run folder that hold explanations.

    `generated` maps ids to lists of (turn, text, finish reason). The court's analysis is `court`, its ratio another
    text, which judgment d lacks; the roles of judgment a come from a tagger.
    """

    def write(folder: Path, generated: dict[str, list[tuple[str, str, str]]], court: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        predictions, references = [], []
        for id, turns in generated.items():
            tokens = {"prompt_tokens": 9, "cached_tokens": 0, "new_tokens": 5}
            rows = [{"name": name, "text": text, "finish_reason": end, **tokens} for name, text, end in turns]
            predictions.append({"id": id, "verdict": "allowed", "reason": "matched", "turns": rows})
            ratio = {"name": "ratio", "role": "RATIO", "text": " " if id == "d" else "Rent paid is not due."}
            analysis = {"name": "analysis", "role": "ANALYSIS", "text": court}
            source = "crf" if id == "a" else "gold"
            references.append({"id": id, "scheme": "build", "source": source, "turns": [analysis, ratio]})
        for name, lines in (("predictions", predictions), ("references", references)):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return folder

    return write
