"""Measure a backbone: perplexity, recall of planted facts by distance, cost by length."""

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
    """Stage that measures a language model of the transformers library on its own."""

    judgments: int = at_least(1, 8)
    """Number of judgments for perplexity."""
    window: int = at_least(2, 2048)
    """Number of leading tokens read from each."""
    held_out: str | None = None
    """card.json of a primed model: measure perplexity only on judgments that it was not primed on; None: on any."""
    distances: list[int] = field(default_factory=lambda: [64, 256, 1024, 2048])
    """Tokens between a planted fact and the question."""
    facts: int = at_least(1, 20)
    """Number of facts per distance."""
    lengths: list[int] = field(default_factory=lambda: [512, 1024, 2048, 4096])
    """Text lengths, in tokens, at which time and memory are measured."""
    written: int = at_least(1, 8)
    """Tokens generated after each text."""
    repeats: int = at_least(1, 3)
    """Repetitions of each time measurement."""
    chunk: int = at_least(1, 8192)
    """Tokens per forward pass of a prefill."""
    seed: int = 0
    """Seed for drawing judgments, stretches of text and codes."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Validate the fields; raise UserError for an impossible value."""
        check_fields(self, OPTION)
        for option in ("distances", "lengths"):
            if any(number < 1 for number in getattr(self, option)):
                raise UserError("a number below 1", where=f"{OPTION}.{option}", cure="give tokens")

    def measure(self, backbone: Backbone, corpus: Corpus) -> Mapping[str, Any]:
        """Measure perplexity, recall by distance and cost by length, as JSON.

        Args:
            backbone: the model; its engine must implement `legalrr.protocols.OpenEngine`.
            corpus: source of the text: its evaluated split.

        Raises:
            UserError: an unsupported backbone, lengths beyond its context, or judgments that it was primed on.
        """
        import torch

        from legalrr.backbones.local.measurements import (
            fact_overhead,
            measure_cost,
            perplexity,
            plant_fact,
            recalls_fact,
        )

        engine = backbone.load()
        if not isinstance(engine, OpenEngine):
            raise UserError(f"{backbone.name} does not give access to its model", where=OPTION, cure="use measure=null")
        self._check_lengths(engine.context, fact_overhead(engine.tokenise))
        chosen = self._draw_judgments(backbone, corpus)
        windows = [engine.tokenise(judgment.text)[: self.window] for judgment in chosen]
        text = list(
            islice(cycle(chain.from_iterable(windows)), max([*self.lengths, *self.distances], default=0) + 4096)
        )
        steps = len(self.distances) * self.facts + len(self.lengths) + 1
        with engine.running() as model, torch.inference_mode(), progress("measure", steps, "readings") as advance:
            results: dict[str, Any] = {"perplexity": perplexity(model, windows)}
            advance(1)
            results["recall"] = {}
            for distance in self.distances:
                draw = random.Random(f"{self.seed} {distance}")
                facts = [plant_fact(text, engine.tokenise, distance=distance, draw=draw) for _ in range(self.facts)]
                right = 0
                for fact in facts:
                    right += recalls_fact(model, fact, chunk=self.chunk)
                    advance(1)
                results["recall"][str(distance)] = right / self.facts
            results["cost"] = []
            for length in self.lengths:
                times = measure_cost(model, text[:length], written=self.written, repeats=self.repeats, chunk=self.chunk)
                results["cost"].append(asdict(times))
                advance(1)
            return results | {"device": str(model.device), "threads": torch.get_num_threads()}

    def _check_lengths(self, context: int, beside_fact: int) -> None:
        for option, most, beside in (
            ("window", self.window, 0),
            ("lengths", max(self.lengths, default=0), self.written),
            ("distances", max(self.distances, default=0), beside_fact),
        ):
            if most + beside > context:
                raise UserError(
                    f"{most} tokens plus {beside} exceed the context of {context}",
                    where=f"{OPTION}.{option}",
                    cure="give less",
                )

    def _draw_judgments(self, backbone: Backbone, corpus: Corpus) -> list[Judgment]:
        """Draw the judgments to read, in an order that depends on the seed."""
        known = {judgment.id: judgment for judgment in corpus.read(corpus.split) if judgment.text.strip()}
        if self.held_out is not None:
            card = _card(resolve(self.held_out))
            if card is None:
                raise UserError("no such card", where=f"{OPTION}.held_out", cure="name the card.json of a primed model")
            known = {id: judgment for id, judgment in known.items() if id in card["judgments"]["held_out"]}
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
    """Read the card of a primed model; return None if there is none."""
    if not path.is_file():
        return None
    try:
        card = json.loads(path.read_bytes())
        card["corpus"], card["split"], card["judgments"]["held_out"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError("not a card of a primed model", where=str(path), cure="see legalrr prime --help") from error
    return card
