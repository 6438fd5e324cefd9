"""Tag rhetorical roles with upper layers of a language model that were trained for it by low-rank adapters.

A model is `<name>.safetensors` (the trained weights of one or more networks, whose probabilities are averaged) and its
card `<name>.json`. It requires the CRF and the language model that the card names by digest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.backbones.local.weights import torch_settings
from legalrr.errors import UserError
from legalrr.paths import resolve
from legalrr.records import Judgment, Segments
from legalrr.roles import scheme as roles_of
from legalrr.segment.card import RETRAIN, TaggerCard, read_card
from legalrr.segment.crf import crf_path, extra_features, marginals
from legalrr.segment.features import features
from legalrr.segment.neural import open_crf
from legalrr.segment.sentence_embeddings import OPTION, LanguageModel
from legalrr.segment.tagger import RoleProbabilities, check_options, open_model, tag_sentences
from legalrr.segment.token_states import AdapterShape, TokenReader

if TYPE_CHECKING:
    from legalrr.segment.adapted_layers import AdaptedNetwork, Example
    from legalrr.segment.mlp import NetworkShape


@dataclass(frozen=True, kw_only=True)
class AdaptedSegmenter:
    """Segmenter that splits a judgment into sentences and tags each with the adapted layers and networks."""

    VERSION: ClassVar[int] = 1
    stored: ClassVar[bool] = True
    """Results are stored: a language model processes the whole judgment."""
    needs_gold: ClassVar[bool] = False
    """Gold roles are not needed."""

    model: str
    """Config path of the model file; its card is in the same folder."""
    crf: str | None = None
    """Config path of the CRF whose probabilities are input; None: the one that training wrote beside the model."""
    name: str = "adapted"
    """Name in tables."""
    scheme: str = "build"
    """Scheme of the roles: build or seven."""
    language_model: LanguageModel = field(default_factory=LanguageModel)
    """The model that was adapted, the same as in training."""
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
        opened, crf = self.open()
        card, reader = opened.card, self._reader(opened)
        path = resolve(self.model)
        networks = _load_networks(path, path.stat().st_mtime_ns, reader)
        own = marginals(crf, features(sentences), tuple(card.priors))
        example = make_example(reader, sentences, own, scheme=self.scheme, cached=False)
        with torch_settings(reader.matmul_precision, None):
            found = mean_marginals(networks, example)
        return found.with_temperature(card.temperature).decode(card.priors, self.prior_correction)

    def open(self) -> tuple["AdaptedModel", Any]:
        """Open the trained weights and the CRF.

        Raises:
            UserError: a file is missing, damaged, of another scheme, or not the one used in training.
        """
        opened = open_model(load, self.model, scheme=self.scheme)
        if self.language_model.provenance() != opened.requires["language_model"]:
            raise UserError(
                f"{resolve(self.model).name} was trained with another language model",
                where=OPTION,
                cure=f"name the one of its card, or {RETRAIN}",
            )
        return opened, open_crf(
            resolve(self.crf) if self.crf else crf_path(resolve(self.model)), opened.requires["crf_sha256"]
        )

    def _reader(self, opened: "AdaptedModel") -> TokenReader:
        return TokenReader(language_model=self.language_model, **opened.card.settings["reading"])


@dataclass(frozen=True, kw_only=True)
class AdaptedModel:
    """Content of a model file."""

    card: TaggerCard
    """The card."""
    requires: Mapping[str, Any]
    """crf_sha256 and language_model of the training."""
    weights: tuple[Mapping[str, Any], ...]
    """Trained weights of each network by name."""


@lru_cache(maxsize=4)
def load(path: Path, changed: int) -> AdaptedModel:
    """Open a model and check it against its card.

    Args:
        path: the model file.
        changed: modification time in nanoseconds; see `legalrr.segment.tagger.open_model`.

    Raises:
        UserError: as `read_card`, a damaged file, or a model of another kind of tagger.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    card = read_card(path)
    if card.settings.get("recipe") != "adapted":
        raise UserError(
            f"a model of the kind {card.settings.get('recipe')!r}", where=str(path), cure="name one of --tagger adapted"
        )
    try:
        tensors = load_file(path)
        weights = tuple(
            {name.removeprefix(f"{n}."): w for name, w in tensors.items() if name.startswith(f"{n}.")}
            for n in range(int(card.settings["networks"]))
        )
        requires = {key: card.settings[key] for key in ("crf_sha256", "language_model")}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"damaged model: {error}".splitlines()[0], where=str(path), cure=RETRAIN) from error
    return AdaptedModel(card=card, requires=requires, weights=weights)


@lru_cache(maxsize=1)
def _load_networks(path: Path, changed: int, reader: TokenReader) -> tuple["AdaptedNetwork", ...]:
    """Build the networks of a model on the layers of the language model."""
    import torch

    from legalrr.segment.mlp import NetworkShape

    opened = load(path, changed)
    settings = opened.card.settings
    networks = []
    try:
        for weights in opened.weights:
            with torch.random.fork_rng():
                network = build_network(
                    reader,
                    AdapterShape(**settings["adapters"]),
                    {opened.card.scheme: NetworkShape(**settings["shape"])},
                )
            wanted = network.trained()
            if wanted.keys() != weights.keys():
                raise KeyError("other weights than the card says")
            with torch.no_grad():
                for name, weight in weights.items():
                    wanted[name].copy_(weight)
            networks.append(network.eval())
    except (RuntimeError, KeyError, TypeError) as error:
        raise UserError(f"damaged model: {error}".splitlines()[0], where=str(path), cure=RETRAIN) from error
    return tuple(networks)


def build_network(
    reader: TokenReader, adapters: AdapterShape, shapes: Mapping[str, "NetworkShape"]
) -> "AdaptedNetwork":
    """Build an untrained network on the layers of the language model; its weights are drawn by torch's generator.

    Args:
        reader: names the language model and its layers.
        adapters: sizes of adapters, sentence pooling and blocks.
        shapes: sizes of the network of each scheme.

    Raises:
        UserError: as `TokenReader.read`.
    """
    from legalrr.segment.adapted_layers import AdaptedNetwork, BlockReader, SentencePooling

    layers, norm, hidden = reader.upper_layers()
    blocks = BlockReader(layers, norm, rank=adapters.rank, block=adapters.block, margin=adapters.margin)
    network = AdaptedNetwork(blocks, SentencePooling(hidden, adapters.pools), shapes)
    return network.to(reader.language_model.device)


def make_example(
    reader: TokenReader,
    sentences: Sequence[str],
    probabilities: RoleProbabilities,
    *,
    scheme: str,
    roles: Sequence[str] | None = None,
    cached: bool = True,
) -> "Example":
    """Read a judgment and make the inputs of a network.

    Args:
        reader: reads the tokens.
        sentences: sentences of one judgment, in order, at least one.
        probabilities: predictions of a CRF that was not trained on this judgment.
        scheme: scheme of the roles.
        roles: gold roles of the sentences; None: unknown.
        cached: keep the states of the tokens on disk.
    """
    import torch

    from legalrr.segment.adapted_layers import Example

    states = reader.read_cached(sentences) if cached else reader.read(sentences)
    codes = [role.code for role in roles_of(scheme).roles]
    return Example(
        scheme=scheme,
        states=torch.from_numpy(states.values),
        owners=torch.from_numpy(states.owners),
        extra=torch.from_numpy(extra_features(sentences, probabilities)),
        roles=None if roles is None else torch.tensor([codes.index(role) for role in roles]),
    )


def mean_marginals(networks: Sequence["AdaptedNetwork"], example: "Example") -> RoleProbabilities:
    """Average the marginal probabilities of the networks for one judgment."""
    import torch

    found = [network.marginals(example.to(network.device)).double().cpu() for network in networks]
    roles = tuple(role.code for role in roles_of(example.scheme).roles)
    return RoleProbabilities(roles=roles, values=torch.stack(found).mean(0).numpy())
