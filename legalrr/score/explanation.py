"""Score what a model wrote against the court's own text, and run the command `legalrr explain`.

What a cell's model wrote before its answer, beside what the court wrote in the same roles, and how alike they are.

A run folder holds both: the turns in predictions.jsonl, the court's text in references.jsonl. Scores are computed by
`legalrr explain` and kept in the run folder by the content of the two texts, so that nothing is computed twice, an
edited text is computed anew, and the folder tells all without the corpus, and without the encoder of BERTScore:

    explanation/<metric>-<identity>/{key.json, <shard>.jsonl}        a store (`legalrr.store`) per metric

Scores of two encoders, layers or variants lie in stores of their own and are never compared.

The command `legalrr explain`: scores of what a model wrote against the court's own text, kept in the run folder.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.errors import UserError
from legalrr.predictions import PREDICTIONS, damaged_line, read_predictions, read_rows
from legalrr.records import replace_surrogates
from legalrr.score.metrics import Metric, Pair, place, told
from legalrr.stage import digest
from legalrr.store import Store
from legalrr.verdict import reasoning_end

if TYPE_CHECKING:
    from legalrr.score.metrics import Metric


FOLDER = "explanation"
REFERENCES = "references.jsonl"


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """One turn that a model wrote about one judgment, and the court's text of the same role."""

    id: str
    """The judgment's id."""
    turn: str
    """analysis, statutes, ratio or ruling."""
    role: str
    """The role whose text the court's is."""
    source: str
    """Where the court's text comes from: `gold`, or the name of the segmenter that found it."""
    generated: str
    """What the model wrote, without its thoughts, as `legalrr.records.replace_surrogates` has it."""
    court: str
    """What the court wrote."""
    cut_off: bool
    """Whether the turn was cut off."""

    @property
    def pair(self) -> Pair:
        """The two texts, as metrics take them."""
        return self.generated, self.court

    @property
    def key(self) -> str:
        """Key of their scores in a store."""
        return digest(self.pair)


@dataclass(frozen=True, kw_only=True)
class Explanations:
    """What there is to compare in a cell, and what there is not."""

    found: tuple[Explanation, ...]
    """Turns that a model wrote about judgments that have the court's text of that role, in the order of the file."""
    no_turn: Mapping[str, tuple[str, ...]]
    """Turn -> ids of judgments whose court's text is there and the turn is not: not asked after an overflow."""
    no_text: Mapping[str, tuple[str, ...]]
    """Turn -> ids of judgments in which the court's text of that role is not found."""

    @property
    def turns(self) -> tuple[str, ...]:
        """Names of the turns, in the order in which they are asked."""
        return tuple(self.no_turn)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One score of one metric as it was computed. Only scores of equal measures may be compared."""

    store: str
    """Name of the metric's store, with its identity."""
    column: str
    """Name of the score in the store."""
    heading: str
    """Its name in tables."""
    detail: str
    """How it was computed, in words."""


@dataclass(frozen=True, kw_only=True)
class ExplanationScores:
    """All explanation scores of one cell."""

    explanations: Explanations
    """What was compared."""
    values: Mapping[tuple[str, Measure], Mapping[str, float]]
    """(turn, measure) -> judgment id -> score; a judgment whose texts were not scored yet is not in it."""
    words: Mapping[str, Mapping[str, tuple[int, int]]]
    """Turn -> judgment id -> words generated, and words of the court."""


def explanation_scores(folder: Path) -> ExplanationScores | None:
    """Explanation scores of a cell from its run folder, without computing any; None where nothing was written.

    Raises:
        UserError: a damaged file of the run folder.
    """
    explanations = read_explanations(folder)
    if explanations is None:
        return None
    values: dict[tuple[str, Measure], dict[str, float]] = {}
    for path in sorted((folder / FOLDER).glob("*/key.json")):
        key = _key(path)
        store = Store(path.parent, key)
        for column, heading in key.get("shown", {}).items():
            measure = Measure(store=path.parent.name, column=column, heading=heading, detail=key.get("detail", ""))
            for one in explanations.found:
                if one.key in store:
                    values.setdefault((one.turn, measure), {})[one.id] = float(store[one.key][column])
    words: dict[str, dict[str, tuple[int, int]]] = {turn: {} for turn in explanations.turns}
    for one in explanations.found:
        words[one.turn][one.id] = len(one.generated.split()), len(one.court.split())
    return ExplanationScores(explanations=explanations, values=values, words=words)


def read_explanations(folder: Path) -> Explanations | None:
    """What there is to compare in a run folder; None where no turn was written, as in the arms that answer at once.

    Raises:
        UserError: a damaged line.
    """
    path = folder / REFERENCES
    if not path.is_file():
        return None
    written: dict[str, dict[str, Mapping[str, Any]]] = {}
    for where, _, one in read_predictions(folder / PREDICTIONS):
        written[one.id] = {_text(turn, "name", where, "prediction"): turn for turn in one.turns}
    found: list[Explanation] = []
    no_turn: dict[str, list[str]] = {}
    no_text: dict[str, list[str]] = {}
    for where, row in read_rows(path, "reference"):
        id, source = _text(row, "id", where), _text(row, "source", where)
        for asked in row.get("turns", []):
            turn, role, court = (_text(asked, name, where) for name in ("name", "role", "text"))
            no_turn.setdefault(turn, [])
            no_text.setdefault(turn, [])
            answer = written.get(id, {}).get(turn)
            if not court.strip():
                no_text[turn].append(id)
            elif answer is None or answer.get("finish_reason") == "overflow":
                no_turn[turn].append(id)
            else:
                said = _text(answer, "text", f"{folder / PREDICTIONS}, {id}", "prediction")
                found.append(
                    Explanation(
                        id=id,
                        turn=turn,
                        role=role,
                        source=source,
                        generated=replace_surrogates(said[reasoning_end(said) :].strip()),
                        court=court,
                        cut_off=answer.get("finish_reason") == "length",
                    )
                )
    return Explanations(
        found=tuple(found),
        no_turn={turn: tuple(ids) for turn, ids in no_turn.items()},
        no_text={turn: tuple(ids) for turn, ids in no_text.items()},
    )


def unscored(folder: Path, metric: Metric) -> dict[str, Pair]:
    """The pairs of texts of a run folder that the metric has no score of there, by key."""
    explanations = read_explanations(folder)
    if explanations is None:
        return {}
    store = _store(folder, metric)
    return {one.key: one.pair for one in explanations.found if one.key not in store}


def score_explanations(folders: Sequence[Path], metric: Metric) -> Iterator[int]:
    """Computes what the run folders lack of a metric's scores and keeps each in its folder; yields after each pair.

    What several folders lack is computed once.

    Raises:
        UserError: a damaged run folder, or as the metric does.
    """
    lacking = {folder: unscored(folder, metric) for folder in folders}
    wanted = {key: pair for pairs in lacking.values() for key, pair in pairs.items()}
    # One after another what belongs to one court's text, which an encoder then reads once.
    ordered = sorted(wanted, key=lambda key: (wanted[key][1], key))
    stores = {folder: _store(folder, metric) for folder, pairs in lacking.items() if pairs}
    try:
        for key, scores in zip(ordered, metric.scores([wanted[key] for key in ordered]), strict=True):
            for folder, store in stores.items():
                if key in lacking[folder]:
                    store.add([(key, dict(scores))])
            yield 1
    finally:
        for store in stores.values():
            store.close()


def _store(folder: Path, metric: Metric) -> Store:
    described = {"name": metric.name, "shown": dict(metric.shown), "detail": metric.detail, **told(metric)}
    return Store(folder / FOLDER / place(metric), described)


def _key(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError("no JSON", where=str(path), cure="delete its folder and run legalrr explain again") from error
    assert isinstance(value, dict)
    return value


def _text(row: Mapping[str, Any], name: str, where: str, what: str = "reference") -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise damaged_line(where, f"no text under {name!r}", what)
    return value


METRICS = ("rouge", "meteor", "bertscore")
EPILOG = """\
Each metric's scores are kept per judgment in the run folder of their cell, under explanation/; what is there already is
not computed again. The tables come with legalrr report DIR. No model is asked; only bertscore needs torch.

examples:
  legalrr explain runs/sweep/2025-01-31_12-00-00
  legalrr explain runs/sweep/2025-01-31_12-00-00 --metric meteor --meteor wordnet
  legalrr explain runs/sweep/* --metric bertscore --encoder /models/roberta-large --layer 17 --overlong windows
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; raises UserError for bad input."""
    chosen = _parser().parse_args(arguments)
    _score(chosen)


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
        help="what to compute; again for several (default: rouge and meteor)",
    )
    parser.add_argument(
        "--stemming", default="porter", choices=("porter", "none"), help="words of ROUGE (default: porter)"
    )
    parser.add_argument(
        "--meteor",
        default="no_synonyms",
        choices=("no_synonyms", "wordnet"),
        help="whether METEOR knows synonyms; wordnet needs the data of WordNet (default: no_synonyms)",
    )
    encoder = parser.add_argument_group("BERTScore")
    encoder.add_argument("--encoder", metavar="MODEL", help="folder with safetensors, or a hub id")
    encoder.add_argument("--revision", metavar="COMMIT", help="commit of a hub encoder")
    encoder.add_argument("--layer", type=int, metavar="N", help="layer whose states are compared, from 1")
    encoder.add_argument(
        "--window", type=int, metavar="TOKENS", help="tokens read at once (default: as the tokenizer says)"
    )
    encoder.add_argument(
        "--overlong",
        default="error",
        choices=("error", "truncate", "windows"),
        help="longer texts: an error, cut as the package bert-score does, or read in windows (default: error)",
    )
    encoder.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or mps (default: cpu)")
    return parser


def _score(chosen: argparse.Namespace) -> None:
    from legalrr.progress import progress

    folders = [cell for folder in sorted(set(chosen.folders)) for cell in cells_of(folder)]
    for metric in [_metric(name, chosen) for name in dict.fromkeys(chosen.metric or METRICS[:2])]:
        lacking = {key for folder in folders for key in unscored(folder, metric)}
        with progress(metric.name, len(lacking), "pairs of texts") as advance:
            for done in score_explanations(folders, metric):
                advance(done)
        print(f"{metric.name}: {len(lacking)} pairs of texts scored in {len(folders)} cells ({metric.detail})")


def cells_of(folder: Path) -> list[Path]:
    """The cells of a sweep or single-run folder that let a model write something; raises UserError where none did."""

    if not folder.is_dir():
        raise UserError("no such folder", where=str(folder), cure="give a folder under runs/sweep or runs/single")
    found = [path for path in [folder, *sorted(folder.iterdir())] if (path / REFERENCES).is_file()]
    if not found:
        raise UserError(
            f"no cell with {REFERENCES}",
            where=str(folder),
            cure="run arms that write before they answer, such as plain or c; a folder of an older run: run it again, "
            "its answers are in the store",
        )
    return found


def _metric(name: str, chosen: argparse.Namespace) -> "Metric":
    from legalrr.score.bertscore import BertScore
    from legalrr.score.overlap import Meteor, Rouge

    if name == "rouge":
        return Rouge(stemming=chosen.stemming)
    if name == "meteor":
        return Meteor(synonyms=chosen.meteor)
    for option in ("encoder", "layer"):
        if getattr(chosen, option) is None:
            raise UserError(
                "BERTScore is that of a layer of an encoder",
                where=f"--{option}",
                cure="e.g. --encoder /models/roberta-large --layer 17",
            )
    return BertScore(
        encoder=chosen.encoder,
        revision=chosen.revision,
        layer=chosen.layer,
        window=chosen.window,
        overlong=chosen.overlong,
        device=chosen.device,
    )
