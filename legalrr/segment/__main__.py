"""The command `legalrr-segment`: training, scoring and using a tagger of rhetorical roles."""

import argparse
import json
import shlex
import sys
from pathlib import Path

from legalrr.corpora.catalogue import Card, card
from legalrr.errors import UserError
from legalrr.records import Judgment
from legalrr.segment.crf import CrfSegmenter
from legalrr.segment.labelled import Labelled, labelled
from legalrr.segment.training import AVERAGES, Settings, evaluate, train, write_card

EXAMPLES = """\
examples:
  legalrr-segment train --corpus build --out build.crfsuite
  legalrr-segment train --corpus lawai50+marro --out seven.crfsuite --folds 0
  legalrr-segment evaluate --corpus lawai50 --folds 5 --seed 0
  legalrr-segment tag judgment.txt > roles.jsonl
  legalrr-segment tag *.txt --scheme seven --model seven.crfsuite
"""


def main(arguments: list[str] | None = None) -> None:
    """Run the command; exit status 2 for bad input, with one line that says what, where and what to do."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    options.command_line = shlex.join(["legalrr-segment", *given])
    try:
        options.run(options)
    except UserError as error:
        print(f"legalrr-segment: {error}", file=sys.stderr)
        sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legalrr-segment",
        description="Rhetorical roles: train a tagger, score it, tag judgments.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    learning = argparse.ArgumentParser(add_help=False)
    learning.add_argument("--corpus", required=True, metavar="NAME[+NAME]", help="annotated corpora of one scheme")
    learning.add_argument("--split", help="split that is read (default: the corpus' own choice)")
    learning.add_argument("--split-spans", action="store_true", help="a gold span may hold several sentences")
    learning.add_argument("--folds", type=int, default=5, help="folds by document (default 5)")
    learning.add_argument("--seed", type=int, default=0, help="seed of the folds (default 0)")
    learning.add_argument("--c1", type=float, default=0.5, help="L1 penalty (default 0.5)")
    learning.add_argument("--c2", type=float, default=3.0, help="L2 penalty (default 3)")
    learning.add_argument("--iterations", type=int, default=100, help="iterations at most (default 100)")
    learning.add_argument("--min-frequency", type=int, default=2, help="leave out rarer features (default 2)")

    trainer = commands.add_parser("train", parents=[learning], help="train a tagger, write it and its card")
    trainer.add_argument("--out", required=True, type=Path, metavar="FILE", help="model file, *.crfsuite")
    trainer.set_defaults(run=_train)

    scorer = commands.add_parser("evaluate", parents=[learning], help="cross-validated scores of a tagger")
    scorer.add_argument("--prior-correction", type=float, default=0.0, help="0 to 1: favour rare roles (default 0)")
    scorer.set_defaults(run=_evaluate)

    tagger = commands.add_parser("tag", help="tag text files; a JSON line per sentence")
    tagger.add_argument("files", nargs="+", type=Path, metavar="FILE", help="UTF-8 text")
    tagger.add_argument("--scheme", choices=("build", "seven"), default="build", help="13 or 7 roles (default build)")
    tagger.add_argument("--model", help="model file (default: the one that ships for the scheme)")
    tagger.add_argument("--prior-correction", type=float, default=0.0, help="0 to 1: favour rare roles (default 0)")
    tagger.set_defaults(run=_tag)
    return parser


def _train(options: argparse.Namespace) -> None:
    if options.out.suffix != ".crfsuite" or not options.out.parent.is_dir():
        raise UserError(
            "no place for a model", where=f"--out {options.out}", cure="name a *.crfsuite in a folder that exists"
        )
    chosen, documents = _documents(options)
    settings = _settings(options)
    scores = evaluate(documents, settings, folds=options.folds, seed=options.seed) if options.folds else None
    print(f"training on all {len(documents)} judgments")
    train(documents, options.out, settings)
    corpora = [{"name": one.name, "what": one.what, "licence": one.licence, "citation": one.citation} for one in chosen]
    write_card(options.out, documents, settings, corpora=corpora, scores=scores, command=options.command_line)
    print(f"wrote {options.out} ({options.out.stat().st_size / 1e6:.1f} MB) and its card")


def _evaluate(options: argparse.Namespace) -> None:
    _, documents = _documents(options)
    scores = evaluate(
        documents,
        _settings(options),
        folds=options.folds,
        seed=options.seed,
        prior_correction=options.prior_correction,
    )
    for average in AVERAGES:
        print(f"{average:>10} F1 {scores[average]['mean']:.3f} (sd {scores[average]['sd']:.3f})")
    for role, told in sorted(scores["roles"].items(), key=lambda item: -item[1]["sentences"]):
        print(f"{role:>15} F1 {told['f1']:.3f}  {told['sentences']:>6} sentences")


def _tag(options: argparse.Namespace) -> None:
    from legalrr.corpora.files import read_text

    model = options.model or f"$LEGALRR/data/taggers/crf_{options.scheme}.crfsuite"
    segmenter = CrfSegmenter(scheme=options.scheme, model=model, prior_correction=options.prior_correction)
    for file in options.files:
        if not file.is_file():
            raise UserError("no such file", where=str(file), cure="name text files")
        text = read_text(file)
        for span in segmenter.segment(Judgment(id=file.stem, text=text, source=str(file))).spans:
            told = {"id": file.stem, "start": span.start, "end": span.end, "role": span.role}
            print(
                json.dumps(
                    {**told, "score": round(span.score, 4), "text": text[span.start : span.end]}, ensure_ascii=False
                )
            )


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        c1=options.c1, c2=options.c2, max_iterations=options.iterations, min_frequency=options.min_frequency
    )


def _documents(options: argparse.Namespace) -> tuple[list[Card], list[Labelled]]:
    chosen = [card(name) for name in options.corpus.split("+")]
    judgments: list[Judgment] = []
    for one in chosen:
        reader = one.reader()
        if reader is None:
            raise UserError(
                "this corpus waits for your own path", where=str(one.file), cure="put the path into a copy of it"
            )
        judgments += reader.read(options.split or reader.split)
    documents = labelled(judgments, split_spans=options.split_spans)
    sentences = sum(len(d.sentences) for d in documents)
    print(f"{options.corpus}: {len(documents)} of {len(judgments)} judgments, {sentences} sentences with roles")
    return chosen, documents


if __name__ == "__main__":
    main()
