"""Config schema of `backbone.gka`: settings of Gated KalmaNet layers, and attention layers to replace by them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any

from legalrr.errors import UserError
from legalrr.paths import resolve
from legalrr.stage import at_least, check_fields, choice, digest, runtime

OPTION = "backbone.gka"
IMPORTANCE = "by_importance"
RULE = re.compile(rf"(every|{IMPORTANCE}):([1-9]\d*)")
CHOICES = "give indices as in [1,3,5], every:N or by_importance:N"


@dataclass(frozen=True, kw_only=True)
class GkaOptions:
    """Gated KalmaNet layers of a model."""

    layers: Any = ()
    """Attention layers to replace: indices from 0, `every:N` (the last of every N), or `by_importance:N` (the N least
    important); empty: none. New layers are untrained, unless `legalrr prime` trained and saved them."""
    importance: str | None = runtime(default=None)
    """File with the order of `by_importance`, written by `legalrr prime`. Its content is part of the provenance."""
    num_iter: int | None = at_least(0, None)
    """Iterations of the solver; None: as saved with the model, 30 for new layers."""
    ridge_strength: float | None = None
    """a of lambda = a ||H||_F; None: as saved with the model, 0.02 for new layers."""
    solver_type: str | None = choice(None, "chebyshev", "cg")
    """chebyshev or cg; None: as saved with the model, chebyshev for new layers."""
    chunk_size: int | None = at_least(1, None)
    """Tokens per chunk; None: as saved with the model, 64 for new layers."""
    backend: str = choice("chunk", "chunk", "triton", "naive")
    """Operator implementation: chunk (any device), triton (CUDA only, and recommended there), or naive (by
    definition)."""
    seed: int = 0
    """Seed of the parameters of new layers that are not taken from the attention."""

    def __post_init__(self) -> None:
        """Validate the fields that do not depend on a model; raise UserError for an invalid value."""
        # Convert the list of a configuration to a hashable tuple, and accept a single layer.
        layers = () if self.layers is None else (self.layers,) if isinstance(self.layers, int) else self.layers
        object.__setattr__(self, "layers", tuple(layers) if isinstance(layers, list) else layers)
        if not isinstance(self.layers, str | tuple):
            raise UserError(f"layers is {self.layers!r}", where=f"{OPTION}.layers", cure=CHOICES)
        check_fields(self, OPTION)
        if self.ridge_strength is not None and not self.ridge_strength > 0:
            raise UserError(
                f"ridge_strength is {self.ridge_strength}", where=f"{OPTION}.ridge_strength", cure="give more than 0"
            )

    @property
    def numbers(self) -> dict[str, Any]:
        """The fields that are set, under the names of `GatedKalmaNetConfig`."""
        names = ("num_iter", "ridge_strength", "solver_type", "chunk_size")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def provenance(self, option: str) -> dict[str, str]:
        """Return the digest of the layer order, if one is used; raise UserError if it cannot be read."""
        if not (_rule(self.layers) or "").startswith(IMPORTANCE):
            return {}
        return {"importance": digest(_order(self.importance, option))}


def chosen_layers(
    spec: Sequence[int | str] | str, count: int, importance: str | Path | None = None, *, option: str = OPTION
) -> tuple[int, ...]:
    """Return the indices of the selected layers, ascending.

    Args:
        spec: indices from 0; `every:N`: the last of every N, so that a model begins with attention; `by_importance:N`:
            the first N of the order in `importance`. A rule may be the only item of a list.
        count: number of layers of the model.
        importance: a JSON file with {"order": [layer, ...]}, starting with the layer whose replacement raised the loss
            least.
        option: config path of the options, for messages.

    Raises:
        UserError: unknown rule or layer, a repeated layer, no layer, or no such order.
    """
    where = f"{option}.layers"
    if (rule := _rule(spec)) is not None:
        match = RULE.fullmatch(rule)
        if match is None:
            raise UserError(
                f"no such choice of layers: {rule!r}",
                where=where,
                cure=CHOICES,
            )
        number = int(match[2])
        if number > count:
            raise UserError(f"{rule} of {count} layers", where=where, cure=f"give at most {count}")
        if match[1] == "every":
            return tuple(range(number - 1, count, number))
        order = _order(importance, option)
        if sorted(order) != list(range(count)):
            raise UserError(
                f"{importance} does not order the {count} layers of this model",
                where=f"{option}.importance",
                cure="give the file that was made for this model",
            )
        return tuple(sorted(order[:number]))
    layers: list[int] = []
    for layer in spec:
        if not isinstance(layer, int) or isinstance(layer, bool) or not 0 <= layer < count:
            raise UserError(
                f"no layer {layer!r} among {count}", where=where, cure=f"give indices from 0 to {count - 1}"
            )
        layers.append(layer)
    if not layers or len(set(layers)) < len(layers):
        raise UserError(
            "a layer is named twice" if layers else "no layer is named", where=where, cure="name each layer once"
        )
    return tuple(sorted(layers))


def _rule(spec: Sequence[int | str] | str) -> str | None:
    """Return the rule of a layer selection; None for a list of indices."""
    if isinstance(spec, str):
        return spec
    return spec[0] if len(spec) == 1 and isinstance(spec[0], str) else None


def _order(importance: str | Path | None, option: str) -> list[int]:
    """Read the layer order of a file, least important first."""
    where = f"{option}.importance"
    if importance is None:
        raise UserError(
            f"{IMPORTANCE} needs a measured layer order",
            where=where,
            cure="give the file that legalrr prime --select wrote",
        )
    try:
        order = json.loads(resolve(str(importance)).read_text("utf-8"))["order"]
        return [index(layer) for layer in order]
    except (OSError, ValueError, KeyError, TypeError) as error:
        cure = 'give a JSON file with {"order": [layer, ...]}, as legalrr prime --select writes it'
        raise UserError(f"cannot read {importance}: {error!r}", where=where, cure=cure) from error
