"""Train the adapted tagger, on judgments of several schemes at once.

The lower layers of the language model read every judgment once; an epoch runs the upper layers alone. A training is
resumed at its last checkpoint, under `<cache>/training`. Dropout, order and parts of judgments are drawn from the seed
and the number of the step, so that a resumed training gives the same bytes as an uninterrupted one: on one CPU thread,
with the same library versions and kind of processor. On a GPU, sums may differ in their last digits.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.backbones.local.model_files import cache_root
from legalrr.backbones.local.weights import torch_settings
from legalrr.files import sha256, write_atomically
from legalrr.progress import progress
from legalrr.roles import scheme
from legalrr.segment.adapted import build_network, make_example, mean_marginals
from legalrr.segment.card import LabelledJudgment
from legalrr.segment.crf import CrfRecipe, FittedCrf, crf_path
from legalrr.segment.tagger import RoleProbabilities
from legalrr.segment.token_states import AdapterShape, TokenReader
from legalrr.stage import digest

if TYPE_CHECKING:
    from legalrr.segment.adapted_layers import AdaptedNetwork, Example
    from legalrr.segment.mlp import NetworkShape

CHECKPOINT_SECONDS = 120.0
"""Seconds between two checkpoints."""


@dataclass(frozen=True, kw_only=True)
class AdaptedRecipe:
    """Training settings of the adapted tagger (AdamW; the learning rate rises linearly, then falls as a cosine)."""

    crf: CrfRecipe = field(default_factory=CrfRecipe)
    """Settings of the CRFs whose probabilities are input."""
    reader: TokenReader = field(default_factory=TokenReader)
    """Layers that read, and layers that are trained."""
    adapters: AdapterShape = field(default_factory=AdapterShape)
    """Sizes of adapters, sentence pooling and blocks."""
    networks: int = 1
    """Number of networks averaged, each with adapters of its own."""
    seed: int = 0
    """Seed of the first network; the others follow."""
    inner_folds: int = 4
    """Folds of the training documents for the out-of-fold probabilities of the CRFs."""
    epochs: int = 6
    """Passes over the training documents."""
    batch: int = 4
    """Judgments per step."""
    part: int = 8192
    """Tokens of a longer judgment that a step reads, about: a random part, anew in every epoch."""
    learning_rate: float = 2e-3
    """Peak learning rate of sentence pooling and networks."""
    adapter_rate: float = 5e-4
    """Peak learning rate of the adapters."""
    warmup: float = 0.1
    """Share of the steps until the peak."""
    weight_decay: float = 0.01
    """Weight decay of AdamW."""
    narrow: int = 96
    """As in `legalrr.segment.mlp.NetworkShape`."""
    hidden: int = 96
    """As in `legalrr.segment.mlp.NetworkShape`."""
    layers: int = 1
    """As in `legalrr.segment.mlp.NetworkShape`."""
    dropout: float = 0.4
    """As in `legalrr.segment.mlp.NetworkShape`."""

    suffix: ClassVar[str] = ".safetensors"
    shares_schemes: ClassVar[bool] = True

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON."""
        own = {k: v for k, v in asdict(self).items() if k not in ("crf", "reader", "adapters")}
        return {
            "recipe": "adapted",
            **own,
            "adapters": asdict(self.adapters),
            "crf": self.crf.as_json(),
            "reading": self.reader.settings(),
        }

    def fit(self, documents: Sequence[LabelledJudgment], path: Path) -> "FittedAdapted":
        """Train, write the networks to `path` and their CRF to `crf_path(path)`.

        Args:
            documents: training data; the tagger has the scheme of the first one. Those of other schemes train the
                shared layers, and a network that is not kept.
            path: the model file.
        """
        from safetensors.torch import save

        own = documents[0].scheme
        examples = self._examples(documents)
        shapes = {example.scheme: self._shape(example) for example in examples}
        networks = []
        for n in range(self.networks):
            checkpoint = cache_root() / "training" / f"{self._identity(documents, self.seed + n)}.safetensors"
            with torch_settings(self.reader.matmul_precision, 1):
                networks.append(self._train(examples, shapes, self.seed + n, checkpoint))
        weights = {
            f"{n}.{name}": weight.detach().cpu()
            for n, network in enumerate(networks)
            for name, weight in network.trained(own).items()
        }
        write_atomically(path, save(weights))
        crf = self.crf.fit([document for document in documents if document.scheme == own], crf_path(path))
        return FittedAdapted(
            networks=tuple(networks), scheme=own, crf=crf, reader=self.reader, shape=shapes[own], path=path
        )

    def _identity(self, documents: Sequence[LabelledJudgment], seed: int) -> str:
        """Return the name of a training, equal for equal settings, data and language model."""
        # The seed of the recipe draws the folds of the CRFs for all networks.
        settings = {k: v for k, v in self.as_json().items() if k != "networks"} | {"network": seed}
        data = [digest([document.scheme, document.sentences, document.roles]) for document in documents]
        return digest([settings, self.reader.identity(), data])[:32]

    def _examples(self, documents: Sequence[LabelledJudgment]) -> list["Example"]:
        """Read the documents, with the probabilities of CRFs that were not trained on them."""
        probabilities: dict[int, RoleProbabilities] = {}
        for name in dict.fromkeys(document.scheme for document in documents):
            places = [i for i, document in enumerate(documents) if document.scheme == name]
            found = self.crf.predict_out_of_fold([documents[i] for i in places], folds=self.inner_folds, seed=self.seed)
            probabilities |= zip(places, found, strict=True)
        examples = []
        with progress("read", len(documents), "judgments") as advance:
            for i, document in enumerate(documents):
                examples.append(
                    make_example(
                        self.reader,
                        document.sentences,
                        probabilities[i],
                        scheme=document.scheme,
                        roles=document.roles,
                    )
                )
                advance(1)
        return examples

    def _shape(self, example: "Example") -> "NetworkShape":
        from legalrr.segment.mlp import NetworkShape

        return NetworkShape(
            states=(1 + self.adapters.pools) * example.states.shape[1],
            hints=example.extra.shape[1],
            roles=len(scheme(example.scheme).roles),
            narrow=self.narrow,
            hidden=self.hidden,
            layers=self.layers,
            dropout=self.dropout,
        )

    def _train(
        self, examples: Sequence["Example"], shapes: Mapping[str, "NetworkShape"], seed: int, place: Path
    ) -> "AdaptedNetwork":
        import torch

        from legalrr.segment.training_checkpoint import Checkpoint

        steps = self.epochs * -(-len(examples) // self.batch)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = build_network(self.reader, self.adapters, shapes)
            weights = network.trained()
            groups = [
                {"params": [w for name, w in weights.items() if name.startswith("reader.") is adapter], "peak": peak}
                for adapter, peak in ((True, self.adapter_rate), (False, self.learning_rate))
            ]
            optimiser = torch.optim.AdamW(groups, lr=0.0, weight_decay=self.weight_decay)
            checkpoint = Checkpoint(place, weights, optimiser)
            done, saved, losses = checkpoint.restore(), time.monotonic(), [math.nan]
            network.train()
            with progress(f"network {seed}", steps, "steps", detail=lambda: f"loss {losses[-1]:.3f}") as advance:
                advance(done)
                for step in range(done, steps):
                    torch.manual_seed(_seed_of(seed, "step", step))
                    for group in optimiser.param_groups:
                        group["lr"] = group["peak"] * self._rate(step, steps)
                    optimiser.zero_grad()
                    losses.append(
                        self._accumulate(network, [examples[i] for i in self._chosen(len(examples), seed, step)])
                    )
                    torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
                    optimiser.step()
                    if time.monotonic() > saved + CHECKPOINT_SECONDS or step == steps - 1:
                        checkpoint.save(step + 1)
                        saved = time.monotonic()
                    advance(1)
        return network.eval()

    def _rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step as a share of its peak."""
        rising = max(1, round(self.warmup * steps))
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    def _chosen(self, count: int, seed: int, step: int) -> list[int]:
        """Return the judgments of a step: every epoch has each of them once."""
        import torch

        epoch, batch = divmod(step, -(-count // self.batch))
        generator = torch.Generator().manual_seed(_seed_of(seed, "epoch", epoch))
        order: list[int] = torch.randperm(count, generator=generator).tolist()
        return order[batch * self.batch : (batch + 1) * self.batch]

    def _accumulate(self, network: "AdaptedNetwork", examples: Sequence["Example"]) -> float:
        """Add the gradients of the mean loss, one judgment after the other, and return the loss."""
        import torch

        total = 0.0
        for example in examples:
            part, tokens = example, len(example.owners)
            if tokens > self.part:
                first = int(torch.randint(tokens - self.part + 1, ()))
                part = example.part(int(example.owners[first]), int(example.owners[first + self.part - 1]) + 1)
            loss = network.loss(part.to(network.device)) / len(examples)
            loss.backward()
            total += float(loss.detach())
        return total


@dataclass(frozen=True, kw_only=True)
class FittedAdapted:
    """Trained networks, with CRF and reader."""

    networks: tuple[Any, ...]
    """The `legalrr.segment.adapted_layers.AdaptedNetwork`s."""
    scheme: str
    """Scheme of the roles."""
    crf: FittedCrf
    """The CRF trained on the same documents."""
    reader: TokenReader
    """Reads the tokens."""
    shape: "NetworkShape"
    """Sizes of the network of the scheme."""
    path: Path
    """The model file."""

    def as_json(self) -> dict[str, Any]:
        """Return sizes, and digests of the required models, for the card."""
        return {
            "shape": self.shape.as_json(),
            "crf_sha256": sha256(crf_path(self.path)),
            "language_model": dict(self.reader.language_model.provenance()),
        }

    def predict_probabilities(self, sentences: Sequence[str]) -> RoleProbabilities:
        """Compute the role probabilities of the sentences of one judgment."""
        own = self.crf.predict_probabilities(sentences)
        return mean_marginals(self.networks, make_example(self.reader, sentences, own, scheme=self.scheme))


def _seed_of(*parts: object) -> int:
    """Derive a seed of 32 bits."""
    return int(digest(list(parts))[:8], 16)
