"""Tag rhetorical roles with small networks over sentence embeddings of a language model and the CRF's probabilities.

A model is `<name>.safetensors` (weights of several networks trained with different seeds, whose probabilities are
averaged) and its card `<name>.json`. It requires the CRF and the language model that the card names by digest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.errors import UserError
from legalrr.files import sha256
from legalrr.paths import resolve
from legalrr.records import Judgment, Segments
from legalrr.segment.card import RETRAIN, TaggerCard, read_card
from legalrr.segment.crf import extra_features, marginals, open_tagger
from legalrr.segment.features import features
from legalrr.segment.sentence_embeddings import OPTION, LanguageModel, SentenceEmbedder
from legalrr.segment.tagger import RoleProbabilities, check_options, open_model, tag_sentences

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Adviser:
    """Files of a neural tagger whose probabilities are input of another one."""

    model: str
    """Config path of the model file."""
    crf: str
    """Config path of the CRF."""


@dataclass(frozen=True, kw_only=True)
class NeuralSegmenter:
    """Segmenter that splits a judgment into sentences, embeds them and tags each with the networks."""

    VERSION: ClassVar[int] = 1
    stored: ClassVar[bool] = True
    """Results are stored: a language model processes the whole judgment."""
    needs_gold: ClassVar[bool] = False
    """Gold roles are not needed."""

    name: str = "neural"
    """Name in tables."""
    scheme: str = "build"
    """Scheme of the roles: build or seven."""
    model: str = "$LEGALRR/data/taggers/neural_build.safetensors"
    """Config path of the model file; its card is in the same folder."""
    crf: str = "$LEGALRR/data/taggers/crf_build.crfsuite"
    """Config path of the CRF whose probabilities are input."""
    told: Adviser | None = None
    """A neural tagger of another scheme whose probabilities are input, too."""
    language_model: LanguageModel = field(default_factory=LanguageModel)
    """The model that computes the embeddings, the same as in training."""
    prior_correction: float = 0.0
    """As in `legalrr.segment.crf.CrfSegmenter`."""

    def __post_init__(self) -> None:
        """Raise UserError for an unknown scheme, or a correction outside 0 to 1."""
        check_options(self.scheme, self.prior_correction)

    def provenance(self) -> Mapping[str, Any]:
        """Return the digests of the model and the models it requires; raise UserError as `open`."""
        opened, _ = self.open()
        return {"model_sha256": opened.card.sha256, **opened.requires}

    def segment(self, judgment: Judgment) -> Segments:
        """Return a span per sentence, with the calibrated probability of its role as score."""
        return tag_sentences(judgment, self.decode, scheme=self.scheme)

    def decode(self, sentences: Sequence[str]) -> list[tuple[str, float]]:
        """Return the role of each sentence of one judgment and its calibrated probability."""
        if not sentences:
            return []
        opened, embedder = self.open()
        card = opened.card
        return (
            opened.predict_probabilities(sentences, embedder.embed(sentences))
            .with_temperature(card.temperature)
            .decode(card.priors, self.prior_correction)
        )

    def open(self) -> tuple["OpenedTagger", SentenceEmbedder]:
        """Open the networks with CRF and adviser, and set up the sentence embedder.

        Raises:
            UserError: a file is missing, damaged, of another scheme, or not the one used in training.
        """
        opened = open_networks(self.model, self.crf, self.told, scheme=self.scheme)
        if self.language_model.provenance() != opened.requires["language_model"]:
            raise UserError(
                f"{resolve(self.model).name} was trained with another language model",
                where=OPTION,
                cure=f"name the one of its card, or {RETRAIN}",
            )
        return opened, SentenceEmbedder(language_model=self.language_model, **opened.card.settings["reading"])


@dataclass(frozen=True, kw_only=True)
class NeuralModel:
    """Content of a model file."""

    card: TaggerCard
    """The card."""
    requires: Mapping[str, Any]
    """crf_sha256, language_model and told_sha256 (None: no adviser) of the training."""
    networks: tuple[Any, ...]
    """The `legalrr.segment.mlp.TaggerNetwork`s."""


@dataclass(frozen=True, kw_only=True)
class OpenedTagger:
    """Networks with the taggers whose probabilities are their input."""

    model: NeuralModel
    """The networks."""
    crf: Any
    """The `pycrfsuite.Tagger` of the training."""
    adviser: "OpenedTagger | None"
    """The other tagger of the training."""

    @property
    def card(self) -> TaggerCard:
        """Card of the model."""
        return self.model.card

    @property
    def requires(self) -> Mapping[str, Any]:
        """`NeuralModel.requires` of the model."""
        return self.model.requires

    def predict_probabilities(self, sentences: Sequence[str], states: "np.ndarray") -> RoleProbabilities:
        """Compute the role probabilities of the sentences of one judgment from its embeddings."""
        roles = tuple(self.card.priors)
        inputs = [marginals(self.crf, features(sentences), roles)]
        if self.adviser is not None:
            inputs.append(self.adviser.predict_probabilities(sentences, states))
        return mean_probabilities(self.model.networks, roles, states, extra_features(sentences, *inputs))


def open_networks(model: str, crf: str, adviser: Adviser | None, *, scheme: str | None) -> OpenedTagger:
    """Open a model with its CRF and adviser.

    Args:
        model: config path of the model file.
        crf: config path of its CRF.
        adviser: files of its adviser.
        scheme: required scheme of the roles; None: any.

    Raises:
        UserError: as `NeuralSegmenter.open`.
    """
    opened = open_model(load, model, scheme=scheme)
    wanted = opened.requires["told_sha256"]
    other = None if adviser is None else open_networks(adviser.model, adviser.crf, None, scheme=None)
    if wanted != (other.card.sha256 if other else None):
        raise UserError(
            f"{resolve(model).name} was trained with {'another adviser' if wanted else 'no adviser'}",
            where="segment.told",
            cure=f"name the model whose SHA-256 is {wanted[:12]}..., or {RETRAIN}" if wanted else "set it to null",
        )
    if other and other.card.settings["reading"] != opened.card.settings["reading"]:
        raise UserError(
            f"{resolve(model).name} and its adviser use different embeddings",
            where="segment.told",
            cure=RETRAIN,
        )
    return OpenedTagger(model=opened, crf=open_crf(resolve(crf), opened.requires["crf_sha256"]), adviser=other)


def mean_probabilities(
    networks: Sequence[Any], roles: tuple[str, ...], states: "np.ndarray", extra: "np.ndarray"
) -> RoleProbabilities:
    """Average the marginal probabilities of the networks for one judgment.

    Args:
        networks: `legalrr.segment.mlp.TaggerNetwork`s.
        roles: names of the columns.
        states: embeddings, float32 [sentences, states], at least one sentence.
        extra: extra features, float32 [sentences, features].
    """
    import torch

    with torch.no_grad():
        inputs = torch.from_numpy(states)[None], torch.from_numpy(extra)[None]
        mask = torch.ones(1, len(states), dtype=torch.bool)
        marginal = [network.chain.marginals(network(*inputs, mask), mask)[0] for network in networks]
    return RoleProbabilities(roles=roles, values=torch.stack(marginal).mean(0).double().numpy())


def open_crf(path: Path, digest: str) -> Any:
    """Open the CRF of a neural tagger; raise UserError if it is missing or has another digest."""
    return _open_crf_version(path, path.stat().st_mtime_ns if path.is_file() else None, digest)


@lru_cache(maxsize=4)
def _open_crf_version(path: Path, changed: int | None, digest: str) -> Any:
    if changed is None or sha256(path) != digest:
        raise UserError(
            f"{path} is not the CRF used in training",
            where="segment.crf",
            cure=f"name the file whose SHA-256 is {digest[:12]}..., or {RETRAIN}",
        )
    return open_tagger(path)


@lru_cache(maxsize=4)
def load(path: Path, changed: int) -> NeuralModel:
    """Open a model and check it against its card.

    Args:
        path: the model file.
        changed: modification time in nanoseconds; see `legalrr.segment.tagger.open_model`.

    Raises:
        UserError: as `read_card`, or a damaged file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from legalrr.segment.mlp import NetworkShape, TaggerNetwork

    card = read_card(path)
    try:
        weights = load_file(path)
        networks = []
        for number in range(int(card.settings["networks"])):
            network = TaggerNetwork(NetworkShape(**card.settings["shape"]))
            prefix = f"{number}."
            network.load_state_dict(
                {name.removeprefix(prefix): w.float() for name, w in weights.items() if name.startswith(prefix)}
            )
            networks.append(network.eval())
        requires = {key: card.settings[key] for key in ("crf_sha256", "language_model", "told_sha256")}
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"damaged model: {error}".splitlines()[0], where=str(path), cure=RETRAIN) from error
    return NeuralModel(card=card, requires=requires, networks=tuple(networks))
