"""The neural tagger: a small network over what a language model makes of each sentence, and over the CRF's beliefs.

A model is `<name>.safetensors` (the weights of several networks trained from different seeds, whose probabilities are
averaged) and its card `<name>.json`. It goes with the CRF and the language model that the card names by digest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.errors import UserError
from legalrr.places import resolve
from legalrr.records import Judgment, Segments
from legalrr.segment.card import AGAIN, Card, read_card, sha256
from legalrr.segment.chances import Chances
from legalrr.segment.crf import marginals, open_tagger
from legalrr.segment.features import features
from legalrr.segment.hints import hints
from legalrr.segment.states import OPTION, LanguageModel, StateReader
from legalrr.segment.trained import check_options, open_model, tagged

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class NeuralSegmenter:
    """Splits a judgment into sentences and gives each a role; reads it with a language model first."""

    VERSION: ClassVar[int] = 1
    stored: ClassVar[bool] = True
    """A language model reads the whole judgment."""
    needs_gold: ClassVar[bool] = False
    """It tags any text."""

    name: str = "neural"
    """Name in tables."""
    scheme: str = "build"
    """Scheme of the roles: build or seven."""
    model: str = "$LEGALRR/data/taggers/neural_build.safetensors"
    """Config path of the model file; its card lies beside it."""
    crf: str = "$LEGALRR/data/taggers/crf_build.crfsuite"
    """Config path of the CRF whose beliefs it is told."""
    language_model: LanguageModel = field(default_factory=LanguageModel)
    """The model whose states it was trained on."""
    prior_correction: float = 0.0
    """As in `legalrr.segment.crf.CrfSegmenter`."""

    def __post_init__(self) -> None:
        """Raises UserError for an unknown scheme, or a correction that is not from 0 to 1."""
        check_options(self.scheme, self.prior_correction)

    def provenance(self) -> Mapping[str, Any]:
        """Digests of the model and of what it goes with; raises UserError where one is missing, or another one."""
        model, *_ = self.open()
        return {"model_sha256": model.card.sha256, **model.goes_with}

    def segment(self, judgment: Judgment) -> Segments:
        """A span per sentence, with the calibrated probability of its role as score."""
        return tagged(judgment, self.decode, scheme=self.scheme)

    def decode(self, sentences: Sequence[str]) -> list[tuple[str, float]]:
        """Role and its calibrated probability for each sentence of one judgment."""
        if not sentences:
            return []
        model, crf, reader = self.open()
        roles = tuple(model.card.shares)
        hinted = hints(sentences, marginals(crf, features(sentences), roles))
        chances = mean_chances(model.networks, roles, reader.read(sentences), hinted)
        return chances.tempered(model.card.temperature).decode(model.card.shares, self.prior_correction)

    def open(self) -> tuple["NeuralModel", Any, StateReader]:
        """The model, the `pycrfsuite.Tagger` that tells it its beliefs, and what reads for it.

        Raises:
            UserError: a file is missing, damaged, of another scheme, or not the one that the model was trained with.
        """
        model = open_model(load, self.model, scheme=self.scheme)
        crf = _crf(resolve(self.crf), model.goes_with["crf_sha256"])
        if self.language_model.provenance() != model.goes_with["language_model"]:
            raise UserError(
                f"{resolve(self.model).name} was trained with another language model",
                where=OPTION,
                cure=f"name the one of its card, or {AGAIN}",
            )
        return model, crf, StateReader(language_model=self.language_model, **model.card.settings["reading"])


@dataclass(frozen=True, kw_only=True)
class NeuralModel:
    """An opened model."""

    card: Card
    """Its card."""
    goes_with: Mapping[str, Any]
    """crf_sha256 and language_model: what it was trained with."""
    networks: tuple[Any, ...]
    """The `legalrr.segment.network.TaggerNetwork`s."""


def mean_chances(
    networks: Sequence[Any], roles: tuple[str, ...], states: "np.ndarray", hinted: "np.ndarray"
) -> Chances:
    """Mean of the networks' marginal probabilities for one judgment.

    Args:
        networks: `legalrr.segment.network.TaggerNetwork`s.
        roles: names of the columns.
        states: float32 [sentences, states], at least one sentence.
        hinted: float32 [sentences, hints].
    """
    import torch

    with torch.no_grad():
        inputs = torch.from_numpy(states)[None], torch.from_numpy(hinted)[None]
        mask = torch.ones(1, len(states), dtype=torch.bool)
        told = [network.chain.marginals(network(*inputs, mask), mask)[0] for network in networks]
    return Chances(roles=roles, values=torch.stack(told).mean(0).double().numpy())


def _crf(path: Path, digest: str) -> Any:
    """The tagger of the CRF at `path`; raises UserError where there is none, or one of another digest."""
    return _crf_as_of(path, path.stat().st_mtime_ns if path.is_file() else None, digest)


@lru_cache(maxsize=4)
def _crf_as_of(path: Path, changed: int | None, digest: str) -> Any:
    if changed is None or sha256(path) != digest:
        raise UserError(
            f"{path} is not the CRF that the networks were trained with",
            where="segment.crf",
            cure=f"name the file whose SHA-256 is {digest[:12]}..., or {AGAIN}",
        )
    return open_tagger(path)


@lru_cache(maxsize=4)
def load(path: Path, changed: int) -> NeuralModel:
    """Open a model and check it against its card.

    Args:
        path: the model file.
        changed: its time of change in nanoseconds; see `legalrr.segment.trained.open_model`.

    Raises:
        UserError: as `read_card`, or a damaged file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from legalrr.segment.network import Shape, TaggerNetwork

    card = read_card(path)
    try:
        weights = load_file(path)
        networks = []
        for number in range(int(card.settings["networks"])):
            network = TaggerNetwork(Shape(**card.settings["shape"]))
            prefix = f"{number}."
            network.load_state_dict(
                {name.removeprefix(prefix): w.float() for name, w in weights.items() if name.startswith(prefix)}
            )
            networks.append(network.eval())
        goes_with = {key: card.settings[key] for key in ("crf_sha256", "language_model")}
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"damaged model: {error}".splitlines()[0], where=str(path), cure=AGAIN) from error
    return NeuralModel(card=card, goes_with=goes_with, networks=tuple(networks))
