"""Score generated explanations against the court's own text of the same roles: the command `legalrr explain`.

A run folder holds both texts: the turns in predictions.jsonl, the court's text in references.jsonl. Scores are stored
in the run folder under the content of the two texts. So nothing is computed twice, an edited text is scored again, and
reading the scores needs neither the corpus nor the encoder of BERTScore:

    explanation/<metric>-<identity>/{key.json, <shard>.jsonl}        a store (`legalrr.store`) per metric

Scores of different encoders, layers or variants are in separate stores and are never compared.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from legalrr.errors import UserError
from legalrr.score.explanation_texts import REFERENCES, Explanation, iterate_explanations, read_explanations
from legalrr.score.metrics import Metric, Pair, metric_identity, store_name
from legalrr.store import Store
from legalrr.typed_json import JsonError, load_json, parse

FOLDER = "explanation"
AGAIN = "delete its folder and run legalrr explain again"
T = TypeVar("T")
METRICS = ("rouge", "meteor", "bertscore")
EPILOG = """\
Scores are stored per judgment in the run folder of each cell, under explanation/; existing ones are not computed again.
The tables come with legalrr report DIR. No model is called; only bertscore needs torch.

examples:
  legalrr explain runs/sweep/2025-01-31_12-00-00
  legalrr explain runs/sweep/2025-01-31_12-00-00 --metric meteor --meteor wordnet
  legalrr explain runs/sweep/* --metric bertscore --encoder /models/roberta-large --layer 17 --overlong windows
"""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Score of a metric and its settings. Only scores of equal measures may be compared."""

    store: str
    """Name of the metric's store, which includes its identity."""
    column: str
    """Name of the score in the store."""
    heading: str
    """Name of the score in tables."""
    detail: str
    """Description of the computation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """An explanation without its texts (`legalrr.score.explanation_texts.Explanation`)."""

    id: str
    """Id of the judgment."""
    turn: str
    """analysis, statutes, ratio or ruling."""
    source: str
    """Source of the court's text: `gold`, or the name of the segmenter."""
    cut_off: bool
    """Whether the turn was cut off."""


@dataclass(frozen=True, kw_only=True)
class ExplanationScores:
    """Explanation scores of one cell."""

    found: tuple[Compared, ...]
    """Generated turns with a court's text of the same role, in the order of the file."""
    no_turn: Mapping[str, int]
    """Turn -> number of judgments with a court's text but without the turn, because of an overflow."""
    no_text: Mapping[str, int]
    """Turn -> number of judgments without a court's text of that role."""
    values: Mapping[tuple[str, Measure], Mapping[str, float]]
    """(turn, measure) -> judgment id -> score; without judgments that are not scored yet."""
    words: Mapping[str, Mapping[str, tuple[int, int]]]
    """Turn -> judgment id -> number of generated words, and of the court's words."""

    @property
    def turns(self) -> tuple[str, ...]:
        """Names of the turns, in the order of the conversation."""
        return tuple(self.words)


@dataclass(frozen=True, kw_only=True)
class _Key:
    """The fields of key.json that tables need."""

    shown: Mapping[str, str] = field(default_factory=dict)
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """A record of the store of a metric."""

    scores: Mapping[str, float]


def has_scores(folder: Path) -> bool:
    """Return whether a metric was computed in a run folder."""
    return any((folder / FOLDER).glob("*/key.json"))


def explanation_scores(folder: Path) -> ExplanationScores | None:
    """Read the explanation scores of a cell, without computing any; None for arms that answer directly.

    Raises:
        UserError: a damaged file in the run folder.
    """
    if not (folder / REFERENCES).is_file():
        return None
    stores = [
        (path.parent, _read_key(path), Store(path.parent, {})) for path in sorted((folder / FOLDER).glob("*/key.json"))
    ]
    measures = {
        (place.name, column): Measure(store=place.name, column=column, heading=heading, detail=key.detail)
        for place, key, _ in stores
        for column, heading in key.shown.items()
    }
    found: list[Compared] = []
    values: dict[tuple[str, Measure], dict[str, float]] = {}
    words: dict[str, dict[str, tuple[int, int]]] = {}
    no_turn: dict[str, int] = {}
    no_text: dict[str, int] = {}
    for id, turn, one in iterate_explanations(folder):
        own = words.setdefault(turn, {})
        for counts, reason in ((no_turn, "no turn"), (no_text, "no text")):
            counts[turn] = counts.get(turn, 0) + (one == reason)
        if not isinstance(one, Explanation):
            continue
        found.append(Compared(id=id, turn=turn, source=one.source, cut_off=one.cut_off))
        own[id] = len(one.generated.split()), len(one.court.split())
        for place, key, store in stores:
            if one.key in store:
                scores = _build(_Stored, {"scores": store[one.key]}, str(place), AGAIN).scores
                for column in key.shown:
                    if column not in scores:
                        raise UserError(f"scores lack {column!r}", where=str(place), cure=AGAIN)
                    values.setdefault((turn, measures[place.name, column]), {})[id] = float(scores[column])
    return ExplanationScores(found=tuple(found), no_turn=no_turn, no_text=no_text, values=values, words=words)


def unscored_pairs(folder: Path, metric: Metric) -> dict[str, Pair]:
    """Return the pairs of texts of a run folder that the metric has not scored yet, by key."""
    explanations = read_explanations(folder)
    if explanations is None:
        return {}
    store = _store(folder, metric)
    return {one.key: one.pair for one in explanations.found if one.key not in store}


def score_explanations(folders: Sequence[Path], metric: Metric) -> Iterator[int]:
    """Compute and store the missing scores of a metric in run folders; yields 1 after each pair.

    A pair that several folders lack is scored once.

    Raises:
        UserError: a damaged run folder, or as the metric does.
    """
    missing = {folder: unscored_pairs(folder, metric) for folder in folders}
    pairs = {key: pair for found in missing.values() for key, pair in found.items()}
    # Pairs with the same court's text are consecutive, so that an encoder encodes it once.
    ordered = sorted(pairs, key=lambda key: (pairs[key][1], key))
    stores = {folder: _store(folder, metric) for folder, found in missing.items() if found}
    try:
        for key, scores in zip(ordered, metric.scores([pairs[key] for key in ordered]), strict=True):
            for folder, store in stores.items():
                if key in missing[folder]:
                    store.add([(key, dict(scores))])
            yield 1
    finally:
        for store in stores.values():
            store.close()


def _store(folder: Path, metric: Metric) -> Store:
    described = {
        "name": metric.name,
        "shown": dict(metric.headings),
        "detail": metric.detail,
        **metric_identity(metric),
    }
    return Store(folder / FOLDER / store_name(metric), described)


def _read_key(path: Path) -> _Key:
    try:
        value = load_json(path.read_bytes())
    except ValueError as error:
        raise UserError("not JSON", where=str(path), cure=AGAIN) from error
    return _build(_Key, value, str(path), AGAIN)


def _build(kind: type[T], value: object, where: str, cure: str) -> T:
    try:
        return parse(kind, value)
    except JsonError as fault:
        raise UserError(str(fault), where=where, cure=cure) from fault


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; raises UserError for invalid input."""
    _run(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legalrr explain",
        description="Score the turns that a model wrote before its answer (analysis, statutes, ratio, ruling) against "
        "the court's own text of the same roles.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folder of a sweep or of a single run")
    parser.add_argument(
        "--metric",
        action="append",
        choices=METRICS,
        help="metric to compute; repeat for several (default: rouge and meteor)",
    )
    parser.add_argument(
        "--stemming", default="porter", choices=("porter", "none"), help="stemming of ROUGE (default: porter)"
    )
    parser.add_argument(
        "--meteor",
        default="no_synonyms",
        choices=("no_synonyms", "wordnet"),
        help="synonyms of METEOR; wordnet needs the WordNet data of nltk (default: no_synonyms)",
    )
    encoder = parser.add_argument_group("BERTScore")
    encoder.add_argument("--encoder", metavar="MODEL", help="folder with safetensors, or a hub id")
    encoder.add_argument("--revision", metavar="COMMIT", help="branch, tag or commit of a hub encoder (default: main)")
    encoder.add_argument("--layer", type=int, metavar="N", help="layer whose states are compared, from 1")
    encoder.add_argument(
        "--window", type=int, metavar="TOKENS", help="input length of the encoder (default: that of the tokenizer)"
    )
    encoder.add_argument(
        "--overlong",
        default="error",
        choices=("error", "truncate", "windows"),
        help="longer texts: an error, truncated as in the package bert-score, or in windows (default: error)",
    )
    encoder.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps (default: cpu)")
    return parser


def _run(options: argparse.Namespace) -> None:
    from legalrr.progress import progress

    folders = [cell for folder in sorted(set(options.folders)) for cell in explained_cells(folder)]
    for metric in [_metric(name, options) for name in dict.fromkeys(options.metric or METRICS[:2])]:
        missing = {key for folder in folders for key in unscored_pairs(folder, metric)}
        with progress(metric.name, len(missing), "pairs of texts") as advance:
            for done in score_explanations(folders, metric):
                advance(done)
        print(f"{metric.name}: {len(missing)} pairs of texts scored in {len(folders)} cells ({metric.detail})")


def explained_cells(folder: Path) -> list[Path]:
    """Return the cells with explanations in the folder of a sweep or single run; raises UserError if there are none."""
    if not folder.is_dir():
        raise UserError("no such folder", where=str(folder), cure="give a folder under runs/sweep or runs/single")
    found = sorted(path.parent for path in folder.rglob(REFERENCES))
    if not found:
        raise UserError(
            f"no cell with {REFERENCES}",
            where=str(folder),
            cure="use arms that generate text before the answer, such as plain or c; repeat an older run, as its "
            "answers are in the store",
        )
    return found


def _metric(name: str, options: argparse.Namespace) -> Metric:
    from legalrr.backbones.local.model_files import resolve_revision
    from legalrr.score.bertscore import BertScore
    from legalrr.score.overlap import Meteor, Rouge

    if name == "rouge":
        return Rouge(stemming=options.stemming)
    if name == "meteor":
        return Meteor(synonyms=options.meteor)
    for option in ("encoder", "layer"):
        if getattr(options, option) is None:
            raise UserError(
                "BERTScore needs an encoder and a layer",
                where=f"--{option}",
                cure="e.g. --encoder /models/roberta-large --layer 17",
            )
    return BertScore(
        encoder=options.encoder,
        revision=resolve_revision(options.encoder, options.revision, option="--encoder"),
        layer=options.layer,
        window=options.window,
        overlong=options.overlong,
        device=options.device,
    )
