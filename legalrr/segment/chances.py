"""What a tagger believes: the probability of each role for each sentence of a judgment; the roles chosen from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

LEAST = 1e-9
"""Probabilities below it count as this much, so that their logarithm is finite."""


@dataclass(frozen=True, kw_only=True)
class Chances:
    """Probabilities of the roles of one judgment's sentences."""

    roles: tuple[str, ...]
    """The roles (R), in the order of the columns."""
    values: "np.ndarray"
    """Probabilities, float64 [sentences, R]; each row adds up to 1."""

    def logs(self) -> "np.ndarray":
        """Natural logarithms, none below that of `LEAST`, [sentences, R]."""
        import numpy as np

        found: np.ndarray = np.log(np.maximum(self.values, LEAST))
        return found

    def tempered(self, temperature: float) -> "Chances":
        """The same beliefs, less sure of themselves the higher the temperature; at 1 unchanged (Guo et al. 2017)."""
        return Chances(roles=self.roles, values=softmax(self.logs() / temperature))

    def decode(self, shares: Mapping[str, float], correction: float) -> list[tuple[str, float]]:
        """Role and its probability per sentence.

        Args:
            shares: share of each role among the training sentences, above 0.
            correction: 0: the most probable role. Above, at most 1: the role with the highest probability divided by
                its share to this power, so that rare roles are found more often.
        """
        import numpy as np

        lift = correction * np.log([shares[role] for role in self.roles])
        best = (self.logs() - lift).argmax(axis=1)
        return [(self.roles[j], float(row[j])) for row, j in zip(self.values, best, strict=True)]


def softmax(scores: "np.ndarray") -> "np.ndarray":
    """Rows of scores as probabilities, [n, R]."""
    import numpy as np

    lifted = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    chances: np.ndarray = lifted / lifted.sum(axis=1, keepdims=True)
    return chances


def fit_temperature(chances: Sequence[Chances], gold: Sequence[Sequence[str]]) -> float:
    """The temperature under which the gold roles of held-out judgments are most probable, between 0.2 and 5."""
    import numpy as np
    from scipy.optimize import minimize_scalar

    roles = chances[0].roles
    logs = np.concatenate([one.logs() for one in chances])
    right = np.array([roles.index(role) for document in gold for role in document])

    def surprise(log_temperature: float) -> float:
        told = softmax(logs / np.exp(log_temperature))
        return float(-np.log(np.maximum(told[np.arange(len(right)), right], LEAST)).mean())

    found = minimize_scalar(surprise, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
    return round(float(np.exp(found.x)), 3)


def calibration_error(sure: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error: mean gap between the probability given and the share that is right, over equal bins.

    Args:
        sure: probability of the chosen role, per sentence.
        right: whether it is the gold role.
        bins: how many bins of equal width.
    """
    import numpy as np

    told, hit = np.asarray(sure), np.asarray(right, float)
    place = np.minimum((told * bins).astype(int), bins - 1)
    gaps = [
        abs(told[place == b].mean() - hit[place == b].mean()) * (place == b).mean()
        for b in range(bins)
        if (place == b).any()
    ]
    return float(sum(gaps))
