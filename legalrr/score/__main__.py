"""The command `legalrr explain`: scores of what a model wrote against the court's own text, kept in the run folder."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from legalrr.errors import UserError

if TYPE_CHECKING:
    from legalrr.score.metric import Metric

METRICS = ("rouge", "meteor", "bertscore")
EPILOG = """\
Each metric's scores are kept per judgment in the run folder of their cell, under explanation/; what is there already is
not computed again. The tables come with legalrr report DIR. No model is asked; only bertscore needs torch.

examples:
  legalrr explain runs/sweep/2025-01-31_12-00-00
  legalrr explain runs/sweep/2025-01-31_12-00-00 --metric meteor --meteor wordnet
  legalrr explain runs/sweep/* --metric bertscore --encoder /models/roberta-large --layer 17 --overlong windows
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, or 2 for bad input, told in one line."""
    chosen = _parser().parse_args(arguments)
    try:
        _score(chosen)
    except UserError as error:
        print(f"legalrr explain: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("legalrr explain: interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130
    return 0


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
    from legalrr.score.explanation import score_explanations, unscored

    folders = [cell for folder in sorted(set(chosen.folders)) for cell in cells_of(folder)]
    for metric in [_metric(name, chosen) for name in dict.fromkeys(chosen.metric or METRICS[:2])]:
        lacking = {key for folder in folders for key in unscored(folder, metric)}
        with progress(metric.name, len(lacking), "pairs of texts") as advance:
            for done in score_explanations(folders, metric):
                advance(done)
        print(f"{metric.name}: {len(lacking)} pairs of texts scored in {len(folders)} cells ({metric.detail})")


def cells_of(folder: Path) -> list[Path]:
    """The cells of a sweep or single-run folder that let a model write something; raises UserError where none did."""
    from legalrr.score.explanation import REFERENCES

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


if __name__ == "__main__":
    sys.exit(main())
