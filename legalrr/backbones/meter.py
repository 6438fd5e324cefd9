"""The stage that measures a backbone: perplexity, recall of planted facts by distance, cost by length."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any, ClassVar

from legalrr.errors import UserError
from legalrr.paths import resolve
from legalrr.progress import progress
from legalrr.protocols import Backbone, Corpus, OpenEngine
from legalrr.records import Judgment
from legalrr.stage import at_least, check_fields, digest

OPTION = "measure"
CARD = "card.json"


@dataclass(frozen=True, kw_only=True)
class BackboneMeter:
    """Measures a language model of the transformers library by itself."""

    judgments: int = at_least(1, 8)
    """Judgments that perplexity is measured on."""
    window: int = at_least(2, 2048)
    """Their first tokens that are read."""
    held_out: str | None = None
    """card.json of a primed model: perplexity is measured on judgments that it was not primed on; None: on any."""
    distances: list[int] = field(default_factory=lambda: [64, 256, 1024, 2048])
    """Tokens between a planted fact and the question."""
    facts: int = at_least(1, 20)
    """Facts per distance."""
    lengths: list[int] = field(default_factory=lambda: [512, 1024, 2048, 4096])
    """Tokens of the texts that time and memory are measured on."""
    written: int = at_least(1, 8)
    """Tokens written after each of them."""
    repeats: int = at_least(1, 3)
    """How often time is measured."""
    chunk: int = at_least(1, 8192)
    """Tokens that are read at once."""
    seed: int = 0
    """Of what is drawn: judgments, stretches of text, codes."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Raises UserError for an impossible value."""
        check_fields(self, OPTION)
        for option in ("distances", "lengths"):
            if any(number < 1 for number in getattr(self, option)):
                raise UserError("a number below 1", where=f"{OPTION}.{option}", cure="give tokens")

    def measure(self, backbone: Backbone, corpus: Corpus) -> Mapping[str, Any]:
        """Perplexity, recall by distance and costs by length, as JSON.

        Args:
            backbone: the model; it must be one whose engine lies open.
            corpus: where the text comes from: its evaluated split.

        Raises:
            UserError: a backbone of another kind, lengths that it cannot take, or judgments that it was primed on.
        """
        import torch

        from legalrr.backbones.local.measurements import cost, perplexity, plant, recalled, room

        engine = backbone.load()
        if not isinstance(engine, OpenEngine):
            raise UserError(
                f"{backbone.name} does not show its probabilities of a text", where=OPTION, cure="use measure=null"
            )
        self._check_lengths(engine.context, room(engine.tokenise))
        chosen = self._chosen(backbone, corpus)
        windows = [engine.tokenise(judgment.text)[: self.window] for judgment in chosen]
        text = list(
            islice(cycle(chain.from_iterable(windows)), max([*self.lengths, *self.distances], default=0) + 4096)
        )
        steps = len(self.distances) * self.facts + len(self.lengths) + 1
        with engine.running() as model, torch.inference_mode(), progress("measure", steps, "readings") as advance:
            found: dict[str, Any] = {"perplexity": perplexity(model, windows)}
            advance(1)
            found["recall"] = {}
            for distance in self.distances:
                draw = random.Random(f"{self.seed} {distance}")
                facts = [plant(text, engine.tokenise, distance=distance, draw=draw) for _ in range(self.facts)]
                right = 0
                for fact in facts:
                    right += recalled(model, fact, chunk=self.chunk)
                    advance(1)
                found["recall"][str(distance)] = right / self.facts
            found["cost"] = []
            for length in self.lengths:
                times = cost(model, text[:length], written=self.written, repeats=self.repeats, chunk=self.chunk)
                found["cost"].append(asdict(times))
                advance(1)
            return found | {"device": str(model.device), "threads": torch.get_num_threads()}

    def _check_lengths(self, context: int, beside_fact: int) -> None:
        for option, most, beside in (
            ("window", self.window, 0),
            ("lengths", max(self.lengths, default=0), self.written),
            ("distances", max(self.distances, default=0), beside_fact),
        ):
            if most + beside > context:
                raise UserError(
                    f"{most} tokens and {beside} beside, and the model can take {context}",
                    where=f"{OPTION}.{option}",
                    cure="give less",
                )

    def _chosen(self, backbone: Backbone, corpus: Corpus) -> list[Judgment]:
        """The judgments that are read, in an order drawn by the seed."""
        known = {judgment.id: judgment for judgment in corpus.read(corpus.split) if judgment.text.strip()}
        if self.held_out is not None:
            told = _card(resolve(self.held_out))
            if told is None:
                raise UserError("no such card", where=f"{OPTION}.held_out", cure="name the card.json of a primed model")
            known = {id: judgment for id, judgment in known.items() if id in told["judgments"]["held_out"]}
        model = str(getattr(backbone, "model", ""))
        own = _card(resolve(model) / CARD)
        learned = own and (own["corpus"], own["split"]) == (corpus.name, corpus.split)
        if own and learned and not known.keys() <= {*own["judgments"]["held_out"]}:
            raise UserError(
                f"{backbone.name} was primed on judgments of {corpus.name}, split {corpus.split}",
                where=f"{OPTION}.held_out",
                cure=f"give {OPTION}.held_out={model}/{CARD} for all backbones that are compared",
            )
        if not known:
            raise UserError("no judgment to read", where=f"corpus {corpus.name}", cure="choose another corpus or card")
        return [known[id] for id in sorted(known, key=lambda id: digest([self.seed, id]))][: self.judgments]


def _card(path: Path) -> dict[str, Any] | None:
    """The card of a primed model; None where there is none."""
    if not path.is_file():
        return None
    try:
        card = json.loads(path.read_bytes())
        card["corpus"], card["split"], card["judgments"]["held_out"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError("no card of a primed model", where=str(path), cure="see legalrr prime --help") from error
    return card
