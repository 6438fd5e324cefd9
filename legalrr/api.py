"""Python interface; `import legalrr` exports all of it (docs/api.md).

Every function composes the same configuration, and builds and runs the same stages, as the command line.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.errors import UserError
from legalrr.records import Judgment, Prompt, Segments

if TYPE_CHECKING:
    import pandas as pd

    from legalrr.protocols import Corpus, Segmenter
    from legalrr.report.load import RunResult
    from legalrr.score.scorer import Scores
    from legalrr.score.significance import Comparison

TABLES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet")
"""File extensions that `own_table` reads."""
COLUMNS = ("id", "gold", "verdict", "reason", "p_allowed", "cut_off", "court", "year", "kind", "length", "cluster")
"""Fields of predictions.jsonl that `Run.to_pandas` copies."""


@dataclass(frozen=True, kw_only=True)
class Judgments:
    """Judgments of one split of a corpus; each iteration reads the files again."""

    reader: "Corpus"
    """The corpus."""

    @property
    def name(self) -> str:
        """Name of the corpus in tables."""
        return self.reader.name

    def __iter__(self) -> Iterator[Judgment]:
        """Yield the judgments in the order of the corpus; raises UserError with file and line for bad input."""
        yield from self.reader.read(self.reader.split)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run folder: an arm with a backbone on a corpus."""

    path: Path
    """The folder (runs/README.md)."""
    cell: "RunResult" = field(repr=False)
    """Settings, predictions and scores, as the report reads them."""
    scores: "Scores"
    """Scores; `n` is 0 if no judgment has an outcome."""

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row per judgment, in the order of predictions.jsonl.

        Columns: id, gold and verdict (allowed, dismissed; a verdict may be invalid), reason of the verdict, p_allowed,
        cut_off, court, year, kind, length (characters), cluster of near-duplicates, answer (text of the last turn),
        prompt_tokens and new_tokens (over all turns).

        Raises:
            UserError: predictions.jsonl is missing or damaged.
        """
        import pandas as pd

        from legalrr.predictions import PREDICTIONS, read_predictions

        rows = []
        for _, _, prediction in read_predictions(self.path / PREDICTIONS):
            turns = prediction.turns
            kept: dict[str, Any] = {name: getattr(prediction, name) for name in COLUMNS}
            kept["answer"] = turns[-1]["text"] if turns else None
            for name in ("prompt_tokens", "new_tokens"):
                kept[name] = sum(turn[name] for turn in turns)
            rows.append(kept)
        return pd.DataFrame(rows, columns=[*COLUMNS, "answer", "prompt_tokens", "new_tokens"])

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield each row of predictions.jsonl as JSON values, with all that was sent in full.

        `messages` is the conversation of the last turn: `{"role", "content"}` each. `earlier` lists those of earlier
        turns that it does not start with, as `{"turn", "messages"}`. In the file, messages refer to texts that other
        files hold (`legalrr.sent_messages`).

        Raises:
            UserError: a file is missing or damaged; for a cell that was copied out of the folder of its sweep, the cure
                names the file that it lacks.

        >>> run = evaluate(arm="direct", backbone="echo", limit=2, overrides=["score.resamples=99"])
        >>> row = next(run.rows())
        >>> row["messages"][1]["content"].splitlines()[-1], row["turns"][-1]["text"]
        ('Answer:', 'YES')
        """
        from legalrr.sent_messages import read_restored

        yield from (one.to_json() for one in read_restored(self.path))


def load_corpus(name_or_path: str | Path, *, overrides: Sequence[str] = ()) -> Judgments:
    """Load a corpus from conf/corpus by name, or your own judgments by path.

    Args:
        name_or_path: a name from `legalrr data list`, or a path: a table (.csv, .jsonl, .parquet), or a folder of .txt
            files (with roles if they begin with a header, see `legalrr.corpora.marked`) or PDFs. The name of a corpus
            takes precedence over a path.
        overrides: as on the command line ("corpus.split=dev", "corpus.labels=labels.csv").

    Raises:
        UserError: unknown corpus, path or option, or a folder of mixed files. Iterating raises it for bad input.

    >>> corpus = load_corpus("specimen")
    >>> judgments = list(corpus)
    >>> len(judgments), judgments[0].outcome
    (24, 'dismissed')
    """
    from legalrr.configuration import compose
    from legalrr.paths import choices
    from legalrr.protocols import Corpus
    from legalrr.stage import build

    name, own = (
        (name_or_path, {})
        if isinstance(name_or_path, str) and name_or_path in choices("corpus")
        else _own_corpus(Path(name_or_path).expanduser(), choices("corpus"))
    )
    node = compose(overrides=[f"corpus={name}", *overrides]).corpus
    for key, value in own.items():
        node[key] = value
    return Judgments(reader=build(node, Corpus, option=f"corpus={name}"))  # type: ignore[type-abstract]


def load_tagger(name: str = "crf", *, scheme: str = "build") -> "Segmenter":
    """Load a tagger of rhetorical roles; its `segment(judgment)` returns the `Segments` of one judgment.

    Args:
        name: choice of conf/segment: crf, neural, gold (the roles of the corpus) or your own.
        scheme: roles: build (13) or seven (7); unused for gold.

    Raises:
        UserError: unknown tagger, or not available for this scheme. `segment` raises it if model files are missing.

    >>> judgment = next(iter(load_corpus("specimen")))
    >>> segments = load_tagger("crf", scheme="build").segment(judgment)
    >>> segments.scheme, segments.spans[0].role
    ('build', 'PREAMBLE')
    """
    from legalrr.segment.tagger import GoldSegmenter, load_tagger

    return GoldSegmenter() if name == "gold" else load_tagger(name, scheme=scheme, option="load_tagger")


def build_prompt(
    judgment: Judgment, segments: Segments, *, arm: str = "plain", overrides: Sequence[str] = ()
) -> Prompt:
    """Build the prompt of an arm about one judgment, without the passages that reveal the outcome.

    No backbone is loaded to count tokens, so the judgment is not truncated. `Message.fill` renders a message.

    Args:
        judgment: the judgment; its outcome and gold roles are not used.
        segments: its roles, from a tagger.
        arm: choice of conf/arm (plain, d, r, c, dr, dc, rc, drc, direct, ...).
        overrides: as on the command line ("annotate.question=relief").

    Raises:
        UserError: unknown arm or option, or a role scheme that the arm does not support.

    >>> judgment = next(iter(load_corpus("specimen")))
    >>> prompt = build_prompt(judgment, load_tagger("gold").segment(judgment), arm="drc")
    >>> [turn.name for turn in prompt.turns]
    ['analysis', 'ratio', 'ruling', 'answer']
    """
    from legalrr.configuration import compose
    from legalrr.run.cell import PreparedCell
    from legalrr.run.measurement import StageTimer
    from legalrr.run.pipeline import build_pipeline

    pipeline = build_pipeline(compose(overrides=[f"arm={arm}", *overrides]))
    return PreparedCell(pipeline=pipeline, timer=StageTimer()).case(judgment, segments, None).prompt


def evaluate(
    *,
    corpus: str = "specimen",
    arm: str = "plain",
    backbone: str = "smollm2",
    engine: str | None = None,
    limit: int | None = None,
    overrides: Sequence[str] = (),
    folder: str | Path | None = None,
) -> Run:
    """Run one arm with one backbone on a corpus, as `legalrr corpus=... arm=... backbone=...` does.

    Answers in the store (runs/cache) are not computed again.

    Args:
        corpus: choice of conf/corpus.
        arm: choice of conf/arm.
        backbone: choice of conf/backbone.
        engine: choice of conf/engine: local, vllm, server; None: that of the backbone.
        limit: maximum number of judgments, sampled with the proportions of the outcomes; None: all.
        overrides: further overrides, as on the command line ("segment=crf", "runs=/scratch/runs").
        folder: the run folder, new or empty; None: a new one below runs/single, named by the current time.

    Raises:
        UserError: bad input or an invalid choice; the message is also in error.json in the folder.

    >>> run = evaluate(arm="direct", backbone="echo", limit=6, overrides=["score.resamples=99"])
    >>> run.scores.n, sorted(run.scores.confusion)
    (6, ['allowed', 'dismissed'])
    """
    from legalrr.configuration import compose
    from legalrr.files import make_folder, write_atomically
    from legalrr.run.cell import run_cell
    from legalrr.run.folder import write_error
    from legalrr.run.pipeline import build_pipeline

    given = [f"corpus={corpus}", f"arm={arm}", f"backbone={backbone}"]
    given += [] if engine is None else [f"engine={engine}"]
    given += [] if limit is None else [f"limit={limit}"]
    given += overrides
    config = compose(overrides=given)
    pipeline = build_pipeline(config)
    path = _new_folder(Path(pipeline.settings.runs) / "single") if folder is None else Path(folder)
    if path.is_dir() and any(path.iterdir()):
        raise UserError("folder is not empty", where=str(path), cure="give another folder")
    make_folder(path / ".hydra")
    write_atomically(path / ".hydra" / "overrides.yaml", "".join(f"- {_quote_override(one)}\n" for one in given))
    try:
        run_cell(pipeline, path)
    except Exception as error:
        write_error(path, error)
        raise
    return read_run(path)


def read_run(path: str | Path) -> Run:
    """Read the folder of one run: below runs/single, or one job of a sweep (runs/sweep/STAMP/0).

    Args:
        path: the folder.

    Raises:
        UserError: not a run folder, a failed or unfinished run, a damaged file, or the folder of a whole sweep.

    >>> run = evaluate(arm="direct", backbone="echo", limit=2, overrides=["score.resamples=99"])
    >>> read_run(run.path).scores == run.scores
    True
    """
    from legalrr.report.load import read_results

    cells = read_results([Path(path)])
    if cells[0].job is not None:
        jobs = ", ".join(str(cell.job) for cell in cells)
        raise UserError(f"a sweep of {len(cells)} runs", where=str(path), cure=f"read one of its folders {jobs}")
    (cell,) = cells
    if cell.folder is None or cell.scores is None:
        raise UserError(f"{cell.status}: {cell.problem}", where=str(path), cure="run it again")
    return Run(path=cell.folder, cell=cell, scores=cell.scores)


def compare(run_a: Run, run_b: Run) -> "Comparison":
    """Compare two runs on the same judgments: macro-F1 of `run_a` minus that of `run_b`.

    Returns:
        Difference, its jackknife interval, permutation and McNemar p-values, and the minimum detectable difference for
        this number of judgments. The p-values are not corrected for multiple comparisons (`legalrr report` applies
        Holm's correction).

    Raises:
        UserError: the runs have no labelled judgments, or different ones.

    >>> fast = ["score.resamples=99", "score.permutations=99"]
    >>> a, b = (evaluate(arm=arm, backbone="echo", limit=8, overrides=fast) for arm in ("direct", "plain"))
    >>> found = compare(a, b)
    >>> found.n, found.difference == a.scores.macro_f1 - b.scores.macro_f1
    (8, True)
    """
    from legalrr.score.significance import compare as compare_cases

    one, other = (() if run.cell.answers is None else run.cell.answers.cases for run in (run_a, run_b))
    return compare_cases(one, other, scorer=run_a.cell.scorer)


def _own_corpus(path: Path, names: Mapping[str, Path]) -> tuple[str, dict[str, str]]:
    """Return the choice of conf/corpus that reads a path, and its options."""
    if path.is_file() and path.name.endswith(TABLES):
        return "own_table", {"file": str(path)}
    if not path.is_dir():
        raise UserError(
            "neither the name of a corpus nor a table or folder",
            where=str(path),
            cure=f"corpora: {', '.join(names)}; tables: {', '.join(TABLES)}",
        )
    texts, pdfs = (sorted(path.glob(f"*.{ending}")) for ending in ("txt", "pdf"))
    if bool(texts) == bool(pdfs):
        found = "both .txt and .pdf files" if texts else "neither .txt nor .pdf files"
        raise UserError(found, where=str(path), cure="keep one kind of file in a folder")
    if pdfs:
        return "own_pdf", {"folder": str(path)}
    with texts[0].open("rb") as file:
        marked = file.readline().strip() == b"---"
    return "own_marked" if marked else "own_text", {"folder": str(path)}


def _new_folder(parent: Path) -> Path:
    """Return the path of a new folder in `parent`, named by the current time."""
    return parent / f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"


def _quote_override(override: str) -> str:
    return json.dumps(override, ensure_ascii=False)
