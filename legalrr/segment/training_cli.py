"""The sub-commands `legalrr segment train`, `evaluate` and `curve`."""

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.corpora.catalogue import CorpusFacts, card
from legalrr.errors import UserError, one_line
from legalrr.files import make_folder, require_own, require_writable, sha256, write_atomically
from legalrr.records import Judgment
from legalrr.segment.adapted_training import AdaptedRecipe
from legalrr.segment.card import LabelledJudgment, build_dataset, require_own_model, write_card
from legalrr.segment.crf import CrfRecipe, crf_path
from legalrr.segment.cross_validation import (
    AVERAGES,
    CurvePoint,
    Evaluation,
    TaggerRecipe,
    confusion_svg,
    curve_csv,
    curve_point,
    curve_svg,
    evaluate,
    parse_shares,
)
from legalrr.segment.neural import Adviser
from legalrr.segment.neural_training import NeuralRecipe
from legalrr.segment.sentence_embeddings import PRECISIONS, LanguageModel, SentenceEmbedder
from legalrr.segment.token_states import AdapterShape, TokenReader
from legalrr.tables import Table, fixed, standard_output

if TYPE_CHECKING:
    from argparse import _SubParsersAction

PIPE_WIDTH = 160
TAGGERS = ("crf", "neural", "adapted")


def add_commands(commands: "_SubParsersAction[Any]") -> None:
    """Add `train`, `evaluate` and `curve` to the command's parser."""
    learning = argparse.ArgumentParser(add_help=False)
    learning.add_argument("--corpus", required=True, metavar="NAME[+NAME]", help="annotated corpora of one scheme")
    learning.add_argument("--also", metavar="NAME[+NAME]", help="further corpora to train on, never scored")
    learning.add_argument("--split", help="split to read (default: the corpus' own)")
    learning.add_argument("--split-spans", action="store_true", help="split gold spans into sentences")
    learning.add_argument("--folds", type=int, default=5, help="folds by document (default 5)")
    learning.add_argument("--seed", type=int, default=0, help="seed of the folds (default 0)")
    learning.add_argument("--jobs", type=int, default=1, help="folds in parallel, one process each (default 1)")
    learning.add_argument("--prior-correction", type=float, default=0.0, help="0 to 1: favour rare roles (default 0)")
    learning.add_argument("--tagger", choices=TAGGERS, default="crf", help="kind of tagger (default crf)")
    settings = learning.add_argument_group("the CRF")
    settings.add_argument("--c1", type=float, default=0.5, help="L1 penalty (default 0.5)")
    settings.add_argument("--c2", type=float, default=3.0, help="L2 penalty (default 3)")
    settings.add_argument("--iterations", type=int, default=100, help="maximum number of iterations (default 100)")
    settings.add_argument("--min-frequency", type=int, default=2, help="leave out rarer features (default 2)")

    _add_network_options(learning)

    trainer = commands.add_parser("train", parents=[learning], help="train a tagger and write it with its card")
    trainer.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="model file: *.crfsuite, or *.safetensors"
    )
    trainer.set_defaults(run=_train)

    scorer = commands.add_parser("evaluate", parents=[learning], help="cross-validate a tagger")
    scorer.add_argument("--out", type=Path, metavar="FOLDER", help="also write scores.json and confusion.svg there")
    scorer.set_defaults(run=_evaluate)

    shares = "0.125,0.25,0.5,1"
    curve = commands.add_parser("curve", parents=[learning], help="compute the learning curve of a tagger")
    curve.add_argument(
        "--shares",
        default=shares,
        metavar="SHARE[,SHARE]",
        help=f"of each fold's training judgments (default {shares})",
    )
    curve.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help="curve.csv and curve.svg, written after each share"
    )
    curve.set_defaults(run=_curve)


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the neural and the adapted tagger; None is the default of the recipe."""
    embedder, recipe, adapted = SentenceEmbedder(), NeuralRecipe(), AdaptedRecipe()
    network = parser.add_argument_group("the neural and the adapted tagger")
    network.add_argument("--crf", type=Path, metavar="FILE", help="existing CRF of the same recipe and corpora to use")
    network.add_argument(
        "--language-model", default=embedder.language_model.model, help="model that reads (default: as shipped)"
    )
    network.add_argument("--revision", help="branch, tag or commit of a language model on the hub (default: main)")
    network.add_argument("--device", default="cpu", help="device of the language model (default cpu)")
    network.add_argument(
        "--window", type=int, default=embedder.window, help=f"window in tokens (default {embedder.window})"
    )
    network.add_argument(
        "--matmul-precision",
        choices=PRECISIONS,
        default=embedder.matmul_precision,
        help=f"precision of matrix products (default {embedder.matmul_precision})",
    )
    for option, what, one, other in (
        ("--overlap", "tokens read twice", embedder.overlap, adapted.reader.overlap),
        ("--networks", "networks averaged", recipe.networks, adapted.networks),
        ("--epochs", "training epochs", recipe.epochs, adapted.epochs),
    ):
        network.add_argument(option, type=int, help=f"{what} (default {one}; adapted: {other})")

    neural = parser.add_argument_group("the neural tagger")
    neural.add_argument("--told", metavar="FILE", help="neural tagger of another scheme whose probabilities are input")
    neural.add_argument("--told-crf", metavar="FILE", help="the CRF of that tagger")
    neural.add_argument("--layer", type=int, default=embedder.layer, help=f"layer used (default {embedder.layer})")

    trained = parser.add_argument_group("the adapted tagger; --also may have another scheme")
    sizes: tuple[tuple[str, type[int] | type[float], float, str], ...] = (
        ("--lower", int, adapted.reader.lower, "layers that read once, frozen"),
        ("--upper", int, adapted.reader.upper, "layers above them that are trained"),
        ("--rank", int, adapted.adapters.rank, "rank of the adapters"),
        ("--pools", int, adapted.adapters.pools, "learned means of a sentence"),
        ("--block", int, adapted.adapters.block, "tokens of a block, read in both directions"),
        ("--margin", int, adapted.adapters.margin, "tokens read on either side of a block"),
        ("--part", int, adapted.part, "tokens of a judgment read in a step of training"),
        ("--batch", int, adapted.batch, "judgments per step"),
        ("--learning-rate", float, adapted.learning_rate, "peak learning rate of the networks"),
        ("--adapter-rate", float, adapted.adapter_rate, "peak learning rate of the adapters"),
    )
    for option, kind, default, what in sizes:
        trained.add_argument(option, type=kind, default=default, help=f"{what} (default {default:g})")


def _show_progress() -> None:
    """Log the progress of training, where standard error is not a terminal, too; other commands log warnings alone."""
    logging.getLogger("legalrr.progress").setLevel(logging.INFO)


def _train(options: argparse.Namespace) -> None:
    _show_progress()
    recipe = _recipe(options)
    if options.out.suffix != recipe.suffix or not options.out.parent.is_dir():
        raise UserError(
            "cannot write the model there",
            where=f"--out {options.out}",
            cure=f"name a *{recipe.suffix} in an existing folder",
        )
    require_own_model(options.out, None if options.tagger == "crf" else crf_path(options.out))
    require_writable(options.out)
    chosen, documents, also = _read_datasets(options)
    found = _cross_validate(options, documents, also) if options.folds else None
    every = [*documents, *also]
    print(f"training on all {len(every)} judgments")
    fitted = recipe.fit(every, options.out)
    if options.crf:
        _share_crf(crf_path(options.out), options.crf)
    write_card(
        options.out,
        [document for document in every if document.scheme == documents[0].scheme],
        settings={**recipe.as_json(), **fitted.as_json()},
        corpora=[{"name": c.name, "what": c.what, "licence": c.licence, "citation": c.citation} for c in chosen],
        scores=found.scores if found else None,
        temperature=found.temperature if found else 1.0,
        command=options.command_line,
    )
    print(one_line(f"wrote {options.out} ({options.out.stat().st_size / 1e6:.1f} MB) and its card"))


def _share_crf(made: Path, kept: Path) -> None:
    """Delete a trained CRF in favour of an existing one with the same content."""
    if not kept.is_file() or sha256(kept) != sha256(made):
        raise UserError(
            f"{kept} differs from the CRF that this recipe trains",
            where="--crf",
            cure=f"use {made}, or train it again",
        )
    if not made.samefile(kept):
        made.unlink()


def _evaluate(options: argparse.Namespace) -> None:
    _show_progress()
    if options.out:
        make_folder(options.out)
        require_own(options.out / "scores.json", '{\n  "corpus": ', [options.out / "confusion.svg"])
    _, documents, also = _read_datasets(options)
    found = _cross_validate(options, documents, also)
    _print_scores(found.scores)
    if options.out:
        title = f"{options.tagger} on {options.corpus}, {options.folds} folds by document, seed {options.seed}"
        scores = {
            "corpus": options.corpus,
            "also": options.also,
            "settings": _recipe(options).as_json(),
            **found.scores,
        }
        write_atomically(options.out / "scores.json", json.dumps(scores, indent=2, ensure_ascii=False) + "\n")
        write_atomically(options.out / "confusion.svg", confusion_svg(found.gold, found.predicted, title=title))
        print(f"wrote {options.out / 'scores.json'} and {options.out / 'confusion.svg'}")


def _curve(options: argparse.Namespace) -> None:
    _show_progress()
    shares = parse_shares(options.shares)
    make_folder(options.out)
    require_own(options.out / "curve.csv", "share,judgments,", [options.out / "curve.svg"])
    _, documents, also = _read_datasets(options)
    title = f"{options.tagger} on {options.corpus}, {options.folds} folds by document, seed {options.seed}"
    points: list[CurvePoint] = []
    for share in shares:
        print(f"a share of {share:g} of the judgments")
        points.append(curve_point(share, _cross_validate(options, documents, also, share=share)))
        write_atomically(options.out / "curve.csv", curve_csv(points))
        write_atomically(options.out / "curve.svg", curve_svg(points, title=title))
    print(f"wrote {options.out / 'curve.csv'} and {options.out / 'curve.svg'}")


def _print_scores(scores: Mapping[str, Any]) -> None:
    """Print averages, roles and calibration as tables."""
    averages = [
        (average, fixed(scores[average]["mean"]), fixed(scores[average]["sd"]), fixed(scores["pooled"][average]))
        for average in AVERAGES
    ]
    roles = [
        (role, str(found["sentences"]), *(fixed(found[key]) for key in ("precision", "recall", "f1")))
        for role, found in sorted(scores["roles"].items(), key=lambda item: -item[1]["sentences"])
    ]
    console = standard_output(PIPE_WIDTH)
    header: tuple[str, ...] = ("average", "F1, mean over folds", "sd", "F1, all sentences together")
    Table(header=header, rows=tuple(averages)).show(console)
    header = ("role", "sentences", "precision", "recall", "F1")
    Table(header=header, rows=tuple(roles)).show(console)
    gap = scores["calibration_error"]
    print(f"expected calibration error {gap['before']:.3f}, after tempering {gap['after']:.3f}")


def _cross_validate(
    options: argparse.Namespace,
    documents: Sequence[LabelledJudgment],
    also: Sequence[LabelledJudgment],
    share: float = 1.0,
) -> Evaluation:
    return evaluate(
        documents,
        _recipe(options),
        folds=options.folds,
        seed=options.seed,
        also=also,
        prior_correction=options.prior_correction,
        share=share,
        jobs=options.jobs,
    )


def _recipe(options: argparse.Namespace) -> TaggerRecipe:
    crf = CrfRecipe(
        c1=options.c1, c2=options.c2, max_iterations=options.iterations, min_frequency=options.min_frequency
    )
    if options.tagger == "crf":
        return crf
    language_model = LanguageModel(model=options.language_model, revision=options.revision, device=options.device)
    reading = {"window": options.window, "matmul_precision": options.matmul_precision}
    if options.overlap is not None:
        reading["overlap"] = options.overlap
    given = {name: getattr(options, name) for name in ("networks", "epochs") if getattr(options, name) is not None}
    if (options.told is None) != (options.told_crf is None):
        raise UserError("only one of two files", where="--told", cure="give both --told and --told-crf")
    if options.tagger == "neural":
        embedder = SentenceEmbedder(language_model=language_model, layer=options.layer, **reading)
        adviser = Adviser(model=options.told, crf=options.told_crf) if options.told else None
        return NeuralRecipe(crf=crf, embedder=embedder, adviser=adviser, **given)
    return AdaptedRecipe(
        crf=crf,
        reader=TokenReader(language_model=language_model, lower=options.lower, upper=options.upper, **reading),
        adapters=AdapterShape(rank=options.rank, pools=options.pools, block=options.block, margin=options.margin),
        part=options.part,
        batch=options.batch,
        learning_rate=options.learning_rate,
        adapter_rate=options.adapter_rate,
        **given,
    )


def _read_datasets(
    options: argparse.Namespace,
) -> tuple[list[CorpusFacts], list[LabelledJudgment], list[LabelledJudgment]]:
    """Return the corpora, the judgments to score, and the further ones for training."""
    scored = [card(name) for name in options.corpus.split("+")]
    further = [card(name) for name in options.also.split("+")] if options.also else []
    documents = _read_dataset(scored, options)
    also = [document for group in _by_scheme(further) for document in _read_dataset(group, options)]
    other = next((one.scheme for one in also if one.scheme != documents[0].scheme), None)
    if other and not _recipe(options).shares_schemes:
        raise UserError(
            f"{options.also} has the roles of {other!r}, not of {documents[0].scheme!r}",
            where="--also",
            cure="name corpora of the same scheme, or use --tagger adapted",
        )
    return [*scored, *further], documents, also


def _by_scheme(corpora: Sequence[CorpusFacts]) -> list[list[CorpusFacts]]:
    """Group corpora by the scheme of their roles."""
    groups: dict[Any, list[CorpusFacts]] = {}
    for one in corpora:
        groups.setdefault(one.node().get("scheme"), []).append(one)
    return list(groups.values())


def _read_dataset(chosen: Sequence[CorpusFacts], options: argparse.Namespace) -> list[LabelledJudgment]:
    judgments: list[Judgment] = []
    for one in chosen:
        reader = one.require_reader()
        judgments += reader.read(options.split or reader.split)
    documents = build_dataset(judgments, split_spans=options.split_spans)
    sentences = sum(len(d.sentences) for d in documents)
    names = "+".join(one.name for one in chosen)
    print(one_line(f"{names}: {len(documents)} of {len(judgments)} judgments, {sentences} sentences with roles"))
    return documents
