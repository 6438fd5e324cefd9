"""Network of the adapted tagger: upper layers of a language model, trained by low-rank adapters, and sentence pooling.

The layers attend in both directions within a block of tokens, so that the state of a token depends on what follows it
too. Blocks overlap by a margin; only the states of the block itself are kept.

Shapes: N blocks, L tokens of a block with its margins, C tokens of a judgment, T sentences, H hidden size.
Sources: Hu et al., ICLR 2022 (low-rank adapters); BehnamGhader et al., COLM 2024 (bidirectional attention in a
decoder); Lin et al., ICLR 2017 (attentive pooling).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from legalrr.segment.mlp import NetworkShape, TaggerNetwork

BLOCKS = 8
"""Blocks computed at once, which bounds memory in tagging."""


@dataclass(frozen=True, kw_only=True)
class LanguageModelLayers:
    """Consecutive layers of a language model of the Llama architecture."""

    layers: Sequence[nn.Module]
    """The decoder layers."""
    rotary: nn.Module
    """Computes the rotary position embeddings."""

    def __call__(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute the output states [N, L, H] of the last layer.

        Args:
            states: input states [N, L, H].
            mask: True where a token may be attended to, bool [N, 1, L, L]; None: causal attention.
        """
        positions = torch.arange(states.shape[1], device=states.device)[None]
        embedded = self.rotary(states, positions)
        for layer in self.layers:
            states = layer(states, attention_mask=mask, position_ids=positions, position_embeddings=embedded)
        return states


class LowRank(nn.Module):
    """Frozen linear layer plus the product of two trained matrices, the second of which starts at zero.

    Args:
        frozen: the linear layer.
        rank: rank of the product.
    """

    def __init__(self, frozen: nn.Linear, rank: int) -> None:
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(rank, frozen.in_features))
        self.up = nn.Parameter(torch.zeros(frozen.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute [..., out] from [..., in]."""
        output: Tensor = self.frozen(inputs) + (inputs @ self.down.T) @ self.up.T
        return output


def add_adapters(module: nn.Module, rank: int) -> None:
    """Freeze a module and replace each of its linear layers by a `LowRank`."""
    module.requires_grad_(False)
    found = [(parent, name, child) for parent in module.modules() for name, child in parent.named_children()]
    for parent, name, child in found:
        if isinstance(child, nn.Linear):
            setattr(parent, name, LowRank(child, rank))


class BlockReader(nn.Module):
    """Adapted layers that read a judgment in overlapping blocks, in both directions.

    Args:
        upper: the layers, which are changed: adapters are added.
        norm: norm of their output.
        rank: rank of the adapters.
        block: tokens of a block.
        margin: tokens read on either side of a block.
    """

    def __init__(self, upper: LanguageModelLayers, norm: nn.Module, *, rank: int, block: int, margin: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(upper.layers)
        add_adapters(self.layers, rank)
        self.norm = norm.requires_grad_(False)
        self.rotary = upper.rotary
        self.block = block
        self.margin = margin

    def forward(self, states: Tensor) -> Tensor:
        """Compute output states [C, H] from input states [C, H]."""
        count = len(states)
        if not count:
            return states
        margin = self.margin if count > self.block else 0
        size = min(self.block, count)
        starts = torch.arange(0, count, size, device=states.device)
        places = starts[:, None] - margin + torch.arange(size + 2 * margin, device=states.device)
        present = (places >= 0) & (places < count)
        run = LanguageModelLayers(layers=list(self.layers), rotary=self.rotary)
        found = []
        for some, inside in zip(places.split(BLOCKS), present.split(BLOCKS), strict=True):
            mask = inside[:, None, None, :].expand(-1, 1, inside.shape[1], -1)
            output = run(states[some.clamp(0, count - 1)], mask)
            found.append(output[:, margin : margin + size].reshape(-1, states.shape[1]))
        normed: Tensor = self.norm(torch.cat(found)[:count])
        return normed


class SentencePooling(nn.Module):
    """Mean of the states of a sentence's tokens, beside weighted means whose weights are learned.

    Args:
        hidden: size of a state (H).
        heads: number of weighted means.
    """

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(hidden, heads)
        nn.init.zeros_(self.weigh.weight)
        nn.init.zeros_(self.weigh.bias)

    def forward(self, states: Tensor, owners: Tensor, sentences: int) -> Tensor:
        """Compute [T, (1 + heads) x H]; zero for a sentence without tokens.

        Args:
            states: states of the tokens, [C, H].
            owners: index of the sentence of each token, int64 [C].
            sentences: number of sentences (T).
        """
        scores = self.weigh(states)
        scores = torch.cat([torch.zeros_like(scores[:, :1]), scores], dim=1)
        places = owners[:, None].expand_as(scores)
        # The maximum of a sentence only keeps the exponential finite: it cancels, and needs no gradient.
        highest = scores.detach().new_full((sentences, scores.shape[1]), -math.inf)
        highest = highest.scatter_reduce(0, places, scores.detach(), "amax")
        weights = torch.exp(scores - highest[owners])
        totals = torch.zeros_like(highest).index_add(0, owners, weights)
        weights = weights / totals[owners]
        pooled = [
            states.new_zeros(sentences, states.shape[1]).index_add(0, owners, states * weight[:, None])
            for weight in weights.unbind(1)
        ]
        return torch.cat(pooled, dim=1)


@dataclass(frozen=True, kw_only=True)
class Example:
    """Inputs of the network for one judgment, and its gold roles."""

    scheme: str
    """Scheme of the roles."""
    states: Tensor
    """Input states of the tokens, float16 or float32 [C, H]."""
    owners: Tensor
    """Index of the sentence of each token, int64 [C]."""
    extra: Tensor
    """Extra features of the sentences, float32 [T, F]."""
    roles: Tensor | None = None
    """Gold role of each sentence, int64 [T]; None: unknown."""

    def to(self, device: torch.device) -> "Example":
        """Copy to a device, with states in float32."""
        return Example(
            scheme=self.scheme,
            states=self.states.to(device).float(),
            owners=self.owners.to(device),
            extra=self.extra.to(device),
            roles=None if self.roles is None else self.roles.to(device),
        )

    def part(self, first: int, end: int) -> "Example":
        """Return the example of sentences `first` to `end` (excluded), which is not empty."""
        start, stop = torch.searchsorted(self.owners, torch.tensor([first, end])).tolist()
        return Example(
            scheme=self.scheme,
            states=self.states[start:stop],
            owners=self.owners[start:stop] - first,
            extra=self.extra[first:end],
            roles=None if self.roles is None else self.roles[first:end],
        )


class AdaptedNetwork(nn.Module):
    """A reader and a sentence pooling for all schemes, with a `TaggerNetwork` per scheme.

    Args:
        reader: the adapted layers.
        pooling: pools their output.
        shapes: sizes of the network of each scheme.
    """

    def __init__(self, reader: BlockReader, pooling: SentencePooling, shapes: Mapping[str, NetworkShape]) -> None:
        super().__init__()
        self.reader = reader
        self.pooling = pooling
        self.taggers = nn.ModuleDict({scheme: TaggerNetwork(shape) for scheme, shape in shapes.items()})

    def loss(self, example: Example) -> Tensor:
        """Compute the negative log-likelihood of the gold roles per sentence, a scalar."""
        tagger = self._tagger(example.scheme)
        assert example.roles is not None
        return tagger.loss(*self._inputs(example), example.roles[None])

    def marginals(self, example: Example) -> Tensor:
        """Compute the marginal probability of each role for each sentence, [T, R]."""
        tagger = self._tagger(example.scheme)
        with torch.no_grad():
            states, extra, mask = self._inputs(example)
            emissions = tagger(states, extra, mask)
        return tagger.chain.marginals(emissions, mask)[0]

    def trained(self, scheme: str | None = None) -> dict[str, nn.Parameter]:
        """Return the trained weights by name: all but those of the language model.

        Args:
            scheme: leave out the networks of other schemes; None: return all.
        """
        own = tuple(f"taggers.{name}." for name in self.taggers if scheme in (None, name))
        return {
            name: weight
            for name, weight in self.named_parameters()
            if weight.requires_grad and (name.startswith(own) or not name.startswith("taggers."))
        }

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.pooling.weigh.weight.device

    def _inputs(self, example: Example) -> tuple[Tensor, Tensor, Tensor]:
        count = len(example.extra)
        pooled = self.pooling(self.reader(example.states), example.owners, count)
        return pooled[None], example.extra[None], torch.ones(1, count, dtype=torch.bool, device=pooled.device)

    def _tagger(self, scheme: str) -> TaggerNetwork:
        tagger = self.taggers[scheme]
        assert isinstance(tagger, TaggerNetwork)
        return tagger
