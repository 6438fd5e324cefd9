"""Train the neural tagger.

Input of the networks are out-of-fold probabilities of a CRF, from an inner cross-validation over the training
documents. Training runs on one CPU thread, so that the same documents, seeds and library versions on the same kind of
processor give the same bytes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.files import sha256, write_atomically
from legalrr.progress import progress
from legalrr.roles import scheme
from legalrr.segment.card import LabelledJudgment
from legalrr.segment.crf import CrfRecipe, FittedCrf, crf_path, extra_features
from legalrr.segment.neural import Adviser, OpenedTagger, mean_probabilities, open_networks
from legalrr.segment.sentence_embeddings import SentenceEmbedder
from legalrr.segment.tagger import RoleProbabilities

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from legalrr.segment.mlp import NetworkShape


POOL = 8
"""Batches drawn at once, among which judgments are sorted by length."""


@dataclass(frozen=True, kw_only=True)
class NeuralRecipe:
    """Training settings of the neural tagger (AdamW, one-cycle learning rate)."""

    crf: CrfRecipe = field(default_factory=CrfRecipe)
    """Settings of the CRF whose probabilities are input."""
    embedder: SentenceEmbedder = field(default_factory=SentenceEmbedder)
    """Embeds the sentences."""
    adviser: Adviser | None = None
    """A neural tagger of another scheme whose probabilities are input, too. Cross-validation cannot detect whether it
    was trained on near-duplicates of these judgments."""
    networks: int = 3
    """Number of networks averaged."""
    seed: int = 0
    """Seed of the first network; the others follow."""
    inner_folds: int = 4
    """Folds of the training documents for the CRF's out-of-fold probabilities."""
    epochs: int = 30
    """Passes over the training documents."""
    batch: int = 8
    """Judgments per step."""
    learning_rate: float = 3e-3
    """Peak learning rate."""
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
    shares_schemes: ClassVar[bool] = False

    def as_json(self) -> dict[str, Any]:
        """Return the settings as JSON."""
        own = {k: v for k, v in asdict(self).items() if k not in ("crf", "embedder", "adviser")}
        return {"recipe": "neural", **own, "crf": self.crf.as_json(), "reading": self.embedder.settings()}

    def fit(self, documents: Sequence[LabelledJudgment], path: Path) -> "FittedNeural":
        """Train on `documents`; write the networks to `path` and their CRF to `crf_path(path)`."""
        import torch
        from safetensors.torch import save

        from legalrr.segment.mlp import NetworkShape

        roles = tuple(role.code for role in scheme(documents[0].scheme).roles)
        adviser = (
            None if self.adviser is None else open_networks(self.adviser.model, self.adviser.crf, None, scheme=None)
        )
        probabilities = self.crf.predict_out_of_fold(documents, folds=self.inner_folds, seed=self.seed)
        states, extra = [], []
        with progress("read", len(documents), "judgments") as advance:
            for document, own in zip(documents, probabilities, strict=True):
                states.append(self.embedder.embed_cached(document.sentences))
                others = [] if adviser is None else [adviser.predict_probabilities(document.sentences, states[-1])]
                extra.append(extra_features(document.sentences, own, *others))
                advance(1)
        gold = [torch.tensor([roles.index(role) for role in document.roles]) for document in documents]
        shape = NetworkShape(
            states=states[0].shape[1],
            hints=extra[0].shape[1],
            roles=len(roles),
            narrow=self.narrow,
            hidden=self.hidden,
            layers=self.layers,
            dropout=self.dropout,
        )
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            networks = [self._train(shape, states, extra, gold, self.seed + n) for n in range(self.networks)]
        finally:
            torch.set_num_threads(threads)
        weights = {f"{n}.{name}": w for n, network in enumerate(networks) for name, w in network.state_dict().items()}
        # save_file would create a file readable by its owner only.
        write_atomically(path, save(weights))
        place = crf_path(path)
        crf = self.crf.fit(documents, place)
        return FittedNeural(
            networks=tuple(networks),
            roles=roles,
            crf=crf,
            adviser=adviser,
            embedder=self.embedder,
            shape=shape,
            crf_sha256=sha256(place),
        )

    def _train(
        self,
        shape: "NetworkShape",
        states: Sequence["np.ndarray"],
        extra: Sequence["np.ndarray"],
        gold: Sequence["Tensor"],
        seed: int,
    ) -> Any:
        import torch

        from legalrr.segment.mlp import TaggerNetwork

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = TaggerNetwork(shape)
            optimiser = torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
            steps = -(-len(states) // self.batch)
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, max_lr=self.learning_rate, epochs=self.epochs, steps_per_epoch=steps
            )
            with progress(f"network {seed}", self.epochs, "epochs") as advance:
                for _ in range(self.epochs):
                    for chosen in _make_batches([len(one) for one in gold], self.batch):
                        batch = _pad_batch(states, extra, gold, chosen)
                        optimiser.zero_grad()
                        network.loss(*batch).backward()
                        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                        optimiser.step()
                        schedule.step()
                    advance(1)
        return network.eval()


@dataclass(frozen=True, kw_only=True)
class FittedNeural:
    """Trained networks, with CRF, adviser and embedder."""

    networks: tuple[Any, ...]
    """The networks."""
    roles: tuple[str, ...]
    """All roles of the scheme."""
    crf: FittedCrf
    """The CRF trained on the same documents."""
    adviser: OpenedTagger | None
    """The adviser, if any."""
    embedder: SentenceEmbedder
    """Embeds the sentences."""
    shape: "NetworkShape"
    """Sizes of each network."""
    crf_sha256: str
    """SHA-256 of the CRF's file."""

    def as_json(self) -> dict[str, Any]:
        """Return sizes, and digests of the required models, for the card."""
        return {
            "shape": self.shape.as_json(),
            "crf_sha256": self.crf_sha256,
            "told_sha256": self.adviser.card.sha256 if self.adviser else None,
            "language_model": dict(self.embedder.language_model.provenance()),
        }

    def predict_probabilities(self, sentences: Sequence[str]) -> RoleProbabilities:
        """Compute the role probabilities of the sentences of one judgment."""
        states = self.embedder.embed_cached(sentences)
        others = [] if self.adviser is None else [self.adviser.predict_probabilities(sentences, states)]
        extra = extra_features(sentences, self.crf.predict_probabilities(sentences), *others)
        return mean_probabilities(self.networks, self.roles, states, extra)


def _make_batches(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Shuffle the indices into batches of similar lengths, as padding is computed, too."""
    import torch

    order = torch.randperm(len(lengths)).tolist()
    pools = (order[start : start + POOL * size] for start in range(0, len(order), POOL * size))
    by_length = [sorted(pool, key=lambda index: lengths[index]) for pool in pools]
    batches = [pool[start : start + size] for pool in by_length for start in range(0, len(pool), size)]
    return [batches[i] for i in torch.randperm(len(batches)).tolist()]


def _pad_batch(
    states: Sequence["np.ndarray"], extra: Sequence["np.ndarray"], gold: Sequence["Tensor"], chosen: Sequence[int]
) -> tuple["Tensor", "Tensor", "Tensor", "Tensor"]:
    """Return embeddings, extra features, mask and gold roles of some documents, padded to the longest."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    mask = pad_sequence([torch.ones(len(gold[i]), dtype=torch.bool) for i in chosen], batch_first=True)
    return (
        pad_sequence([torch.from_numpy(states[i]) for i in chosen], batch_first=True),
        pad_sequence([torch.from_numpy(extra[i]) for i in chosen], batch_first=True),
        mask,
        pad_sequence([gold[i] for i in chosen], batch_first=True),
    )
