"""Training the CRF tagger, and scoring it on documents that it has not seen."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

from legalrr.errors import UserError
from legalrr.segment.crf import Model, card_path, sha256
from legalrr.segment.features import FEATURES, features
from legalrr.segment.labelled import Labelled, groups
from legalrr.store import write_atomically

AVERAGES = ("micro", "macro", "weighted")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the CRF is trained (L-BFGS)."""

    c1: float = 0.5
    """Weight of the L1 penalty; it keeps the model small."""
    c2: float = 3.0
    """Weight of the L2 penalty."""
    max_iterations: int = 100
    """Where training stops, converged or not."""
    min_frequency: int = 2
    """Features seen less often are left out."""


def train(documents: Sequence[Labelled], path: Path, settings: Settings) -> None:
    """Write the model trained on `documents`; the same documents give the same bytes."""
    _train([(features(d.sentences), d.roles) for d in documents], path, settings)


def _train(sequences: Sequence[tuple[list[list[str]], Sequence[str]]], path: Path, settings: Settings) -> None:
    import pycrfsuite

    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params(
        {
            "c1": settings.c1,
            "c2": settings.c2,
            "max_iterations": settings.max_iterations,
            "feature.minfreq": settings.min_frequency,
        }
    )
    for seen, roles in sequences:
        trainer.append(seen, roles)
    part = path.with_name(f".{path.name}.part")
    trainer.train(str(part))
    part.replace(path)


def evaluate(
    documents: Sequence[Labelled],
    settings: Settings,
    *,
    folds: int,
    seed: int,
    prior_correction: float = 0.0,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Cross-validated scores, folded by document; near-duplicates stay in one fold.

    Args:
        documents: annotated judgments of one scheme.
        settings: how each fold's model is trained.
        folds: how many folds, at least 2.
        seed: seed of the assignment of documents to folds.
        prior_correction: as in `CrfSegmenter`.
        tell: receives a line per fold.

    Returns:
        folds, seed; micro, macro and weighted F1 as {"mean", "sd"} over folds (macro: over the roles of the fold's
        gold); roles: per role its number of sentences and its F1 over all folds together.
    """
    import pycrfsuite
    from sklearn.metrics import f1_score
    from sklearn.model_selection import GroupKFold

    group = groups(documents)
    if not 2 <= folds <= len(set(group)):
        raise UserError(
            f"{folds} folds of {len(set(group))} different judgments", where="--folds", cure="from 2 to their number"
        )
    sequences = [(features(d.sentences), d.roles) for d in documents]
    scores: dict[str, list[float]] = {average: [] for average in AVERAGES}
    gold: list[str] = []
    found: list[str] = []
    splits = GroupKFold(folds, shuffle=True, random_state=seed).split(documents, groups=group)
    with TemporaryDirectory() as folder:
        for number, (kept, held) in enumerate(splits, start=1):
            path = Path(folder) / f"{number}.crfsuite"
            _train([sequences[i] for i in kept], path, settings)
            tagger = pycrfsuite.Tagger()
            tagger.open(str(path))
            shares = _shares([documents[i] for i in kept])
            model = Model(sha256="", scheme=documents[0].scheme, shares=shares, tagger=tagger)
            fold_gold = [role for i in held for role in documents[i].roles]
            fold_found = [
                role for i in held for role, _ in model.decode(sequences[i][0], prior_correction=prior_correction)
            ]
            tagger.close()
            labels = sorted(set(fold_gold))
            for average in AVERAGES:
                score = f1_score(fold_gold, fold_found, labels=labels, average=average, zero_division=0)
                scores[average].append(float(score))
            tell(f"fold {number} of {folds}: " + ", ".join(f"{a} F1 {scores[a][-1]:.3f}" for a in AVERAGES))
            gold += fold_gold
            found += fold_found
    names = sorted(set(gold))
    per_role = f1_score(gold, found, labels=names, average=None, zero_division=0)
    count = Counter(gold)
    return {
        "folds": folds,
        "seed": seed,
        **{a: {"mean": round(mean(v), 4), "sd": round(stdev(v), 4)} for a, v in scores.items()},
        "roles": {n: {"sentences": count[n], "f1": round(float(f), 4)} for n, f in zip(names, per_role, strict=True)},
    }


def write_card(
    path: Path,
    documents: Sequence[Labelled],
    settings: Settings,
    *,
    corpora: Sequence[Mapping[str, str]],
    scores: Mapping[str, Any] | None,
    command: str,
) -> None:
    """Write the card beside the model `path`: what it was trained on, how, and how it scores."""
    counts = Counter(role for d in documents for role in d.roles)
    card = {
        "model": path.name,
        "sha256": sha256(path),
        "bytes": path.stat().st_size,
        "scheme": documents[0].scheme,
        "features": FEATURES,
        "corpora": list(corpora),
        "documents": len(documents),
        "sentences": sum(counts.values()),
        "roles": {role: {"sentences": counts[role]} for role in sorted(counts)},
        "settings": asdict(settings),
        "cross_validation": scores,
        "command": command,
    }
    write_atomically(card_path(path), json.dumps(card, indent=2, ensure_ascii=False) + "\n")


def _shares(documents: Sequence[Labelled]) -> dict[str, float]:
    counts = Counter(role for d in documents for role in d.roles)
    return {role: count / counts.total() for role, count in counts.items()}
