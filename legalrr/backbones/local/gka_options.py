"""Which layers of a model are to be Gated KalmaNet, and their numbers: the config schema of `backbone.gka`."""

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
    """Attention layers to replace: indices from 0, `every:N` (the last of every N), or `by_importance:N` (the N that
    are missed least); empty: none. The new layers are untrained, unless `legalrr prime` trained and saved them."""
    importance: str | None = runtime(default=None)
    """File with the order that `by_importance` goes by, as `legalrr prime` writes it. Its content is provenance."""
    num_iter: int | None = at_least(0, None)
    """Steps of the solver; None: as the model was saved with, 30 for new layers."""
    ridge_strength: float | None = None
    """a of lambda = a ||H||_F; None: as the model was saved with, 0.02 for new layers."""
    solver_type: str | None = choice(None, "chebyshev", "cg")
    """chebyshev or cg; None: as the model was saved with, chebyshev for new layers."""
    chunk_size: int | None = at_least(1, None)
    """Tokens computed together; None: as the model was saved with, 64 for new layers."""
    backend: str = choice("chunk", "chunk", "triton", "naive")
    """Form of the operator: chunk (any device), triton (CUDA alone, and the one for it), or naive (the definition)."""
    seed: int = 0
    """Of what new layers draw, beside what they take over from the attention."""

    def __post_init__(self) -> None:
        """Refuse values that no layer can have, whatever the model."""
        # A list, as configurations have it, has no hash, and one layer needs none.
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
        """What is not left to the model, under the names of `GatedKalmaNetConfig`."""
        names = ("num_iter", "ridge_strength", "solver_type", "chunk_size")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def provenance(self, option: str) -> dict[str, str]:
        """The digest of the order that layers are chosen by, if they are; raises UserError where it cannot be read."""
        if not (_rule(self.layers) or "").startswith(IMPORTANCE):
            return {}
        return {"importance": digest(_order(self.importance, option))}


def chosen_layers(
    spec: Sequence[int | str] | str, count: int, importance: str | Path | None = None, *, option: str = OPTION
) -> tuple[int, ...]:
    """The layers that a choice names, ascending.

    Args:
        spec: indices from 0; `every:N`: the last of every N, so that a model begins with attention; `by_importance:N`:
            the first N of the order in `importance`. A rule may stand alone in a list.
        count: layers of the model.
        importance: a JSON file with {"order": [layer, ...]}, the layer first whose replacement raised the loss least.
        option: config path of the options, for messages.

    Raises:
        UserError: no such rule or layer, a layer twice, none at all, or no such order.
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
    """The rule of a choice of layers; None where they are named."""
    if isinstance(spec, str):
        return spec
    return spec[0] if len(spec) == 1 and isinstance(spec[0], str) else None


def _order(importance: str | Path | None, option: str) -> list[int]:
    """The layers in the order of a file, the one that is missed least first."""
    where = f"{option}.importance"
    if importance is None:
        raise UserError(
            f"{IMPORTANCE} goes by an order that was measured",
            where=where,
            cure="give the file that legalrr prime --select wrote",
        )
    try:
        order = json.loads(resolve(str(importance)).read_text("utf-8"))["order"]
        return [index(layer) for layer in order]
    except (OSError, ValueError, KeyError, TypeError) as error:
        cure = 'give a JSON file with {"order": [layer, ...]}, as legalrr prime --select writes it'
        raise UserError(f"cannot read {importance}: {error!r}", where=where, cure=cure) from error
