"""Write the run folder of a probe, and print the results.

judgments.jsonl  a row per judgment: outcome; per view the answer, its probability, and the most influential sentence
views.csv        a row per view with every score
sentences.csv    a row per judgment and view: the most influential sentence and whether it decides
leakage.md       the table, notes on how to read it, the deciding sentences, and the answer in a sentence
run.json         stages, versions, calls, seconds; written last
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from legalrr.errors import one_line
from legalrr.leakage.probe import (
    PREAMBLE,
    QUESTION,
    TAIL,
    WHOLE,
    DecidingSentence,
    Probe,
    ProbedJudgment,
    ViewResult,
)
from legalrr.leakage.views import ViewScores, answer
from legalrr.run.folder import as_json
from legalrr.segment.sentence_embeddings import shortened
from legalrr.tables import Table, bounds, fixed, markdown_line, share, standard_output, write_files

PAGE = "leakage.md"
PIPE_WIDTH = 200
"""Width of the output in columns if it is not a terminal."""
MAX_SENTENCE = 600
"""Maximum length of a sentence printed to the terminal, in characters."""
READING_NOTES = """\
An AUC of 0.5 is chance, however often the answer is YES. A view is above chance if its whole interval is.
A preamble (court, parties, date) reveals nothing about the case, a tail little: above chance, look for a leak.
The question alone shows no text: its AUC comes from the name of the party, which every other view has too.
If no view is above chance, this backbone cannot predict outcomes, and neither table nor list says anything about leaks.
A sentence decides if the answer is right given the sentence alone, and not right without it. If it states the court's
conclusion, it leaks; if it is a fact on which the case turns, it does not. Read it. Two sentences that reveal the same
fact mask each other, and neither is found."""
VIEW_COLUMNS = (
    *("view", "n", "lacking", "gold_allowed", "gold_dismissed", "accuracy", "macro_f1", "macro_f1_low"),
    *("macro_f1_high", "interval_note", "auc", "auc_low", "auc_high", "above_chance", "whole_auc", "only_view"),
    *("only_whole", "yes_rate", "invalid_rate", "deciding"),
)
SENTENCE_COLUMNS = ("id", "gold", "view", "decides", "start", "end", "alone", "without", "text")


@dataclass(frozen=True, kw_only=True)
class LeakageResult:
    """The result of a probe."""

    corpus: str
    """Name of the corpus."""
    segment: str
    """Name of the segmenter."""
    backbone: str
    """Name of the backbone."""
    scoring: str
    """How the backbone answered (`legalrr.predictors`)."""
    confidence: float
    """Confidence level of the intervals."""
    probe: Probe
    """Options of the views and of the sentence search."""
    counts: Mapping[str, int]
    """Number of judgments read, excluded by reason, and probed."""
    probed: tuple[ProbedJudgment, ...]
    """Results per judgment."""
    views: tuple[ViewScores, ...]
    """Scores per view."""

    @property
    def deciding(self) -> list[tuple[ProbedJudgment, str, DecidingSentence]]:
        """Judgment, view and sentence of each deciding sentence, in the order of the judgments."""
        return [found for found in searched_sentences(self.probed) if found[2].decides]

    @property
    def answer(self) -> str:
        """The answer to the question of the probe, with its figures."""
        labels = {one.view: _view_label(one.view, self) for one in self.views}
        decided = len({judgment.id for judgment, _, _ in self.deciding}) if self.probe.calls else None
        return answer(self.views, labels, n=len(self.probed), deciding=decided)

    @property
    def title(self) -> str:
        """The corpus, segmenter and backbone."""
        return f"Leakage probe: {self.corpus}, roles {self.segment}, backbone {self.backbone}"

    @property
    def summary(self) -> list[str]:
        """Counts and options of the run, one per line."""
        outcomes = Counter(one.gold for one in self.probed)
        counts = ", ".join(f"{reason} {count}" for reason, count in self.counts.items())
        most = max(outcomes.values()) / len(self.probed)
        lines = [
            f"judgments: {counts}; allowed {outcomes['allowed']}, dismissed {outcomes['dismissed']}",
            f"chance: AUC 0.5; accuracy {fixed(most)} by always giving the more frequent outcome",
            f"answers: {self.scoring}; tail: the last {self.probe.words} words shown",
        ]
        if self.probe.calls:
            lines.append(
                f"a sentence decides: the true outcome has probability {self.probe.alone:g} or more given it alone, "
                f"{self.probe.without:g} or less without it; searched in views answered correctly, "
                f"with {self.probe.calls} calls each"
            )
        else:
            lines.append("no sentence was searched for (probe.calls=0)")
        if without := sum(one.lacking for one in self.views if one.view == PREAMBLE):
            lines.append(f"{without} of {len(self.probed)} judgments show no PREAMBLE")
        return lines


def searched_sentences(probed: Sequence[ProbedJudgment]) -> list[tuple[ProbedJudgment, str, DecidingSentence]]:
    """Return judgment, view and most influential sentence of each search."""
    return [
        (one, name, view.deciding) for one in probed for name, view in one.views.items() if view.deciding is not None
    ]


def write_results(result: LeakageResult, record: Mapping[str, Any], folder: Path) -> None:
    """Write the run folder, run.json last.

    Raises:
        UserError: the folder cannot be created.
    """
    sentences = (_sentence_row(*one) for one in searched_sentences(result.probed))
    texts = {
        "judgments.jsonl": "".join(as_json(_judgment_record(one)) + "\n" for one in result.probed),
        "views.csv": Table.from_records((_view_row(one, result) for one in result.views), VIEW_COLUMNS).csv(),
        "sentences.csv": Table.from_records(sentences, SENTENCE_COLUMNS).csv(),
        PAGE: render_markdown(result),
        "run.json": as_json(record, indent=2) + "\n",
    }
    write_files(folder, texts)


def print_results(result: LeakageResult) -> None:
    """Print the table, notes on how to read it, and the deciding sentences."""
    from rich.padding import Padding
    from rich.text import Text

    console = standard_output(PIPE_WIDTH)
    console.print(f"\n{one_line(result.title)}", style="bold")
    for line in result.summary:
        console.print(one_line(line), style="dim")
    scores_table(result).show(console)
    console.print(READING_NOTES, style="dim")
    console.print(f"\n{_heading(result)}", style="bold")
    for judgment, name, sentence in result.deciding:
        console.print(one_line(_sentence_location(judgment, name, sentence)))
        console.print(Padding(Text(one_line(shortened(sentence.text, MAX_SENTENCE))), (0, 0, 0, 4), expand=False))
    console.print(f"\n{one_line(result.answer)}", style="bold")


def render_markdown(result: LeakageResult) -> str:
    """Render the result as Markdown."""
    parts = [
        f"# {markdown_line(result.title)}",
        "\n".join(f"- {markdown_line(line)}" for line in result.summary),
        scores_table(result).markdown(),
        READING_NOTES,
        f"## {_heading(result)}",
        *(
            f"- {markdown_line(_sentence_location(judgment, name, sentence))}\n\n"
            f"      {one_line(' '.join(sentence.text.split()))}"
            for judgment, name, sentence in result.deciding
        ),
        f"**{markdown_line(result.answer)}**",
    ]
    return "\n\n".join(parts) + "\n"


def scores_table(result: LeakageResult) -> Table:
    """Return the table of the scores per view."""
    level = f"{result.confidence:.0%}"
    return Table(
        header=(
            *("View", "n", "Accuracy", f"Macro-F1 [{level}]", f"AUC [{level}]", "Above chance"),
            *("AUC of the whole", "Only it right", "Only the whole right", "YES %", "Invalid %"),
        ),
        rows=tuple(
            (
                _view_label(one.view, result),
                str(one.scores.n),
                fixed(one.scores.accuracy) or "-",
                f"{fixed(one.scores.macro_f1)} {bounds(one.scores.interval)}".strip(),
                "-" if one.auc is None else f"{fixed(one.auc.value)} {bounds(one.auc.interval)}",
                {True: "yes", False: "no", None: "-"}[one.above_chance],
                fixed(one.whole_auc) or "-",
                *(("-", "-") if one.view == WHOLE else (str(one.only_view), str(one.only_whole))),
                share(one.scores.yes_rate) or "-",
                share(one.scores.invalid_rate) or "-",
            )
            for one in result.views
        ),
    )


def _view_label(name: str, result: LeakageResult) -> str:
    """Return the label of a view in the table."""
    return {
        QUESTION: "the question alone",
        PREAMBLE: "the preamble",
        TAIL: f"the last {result.probe.words} words",
        WHOLE: "the whole",
    }[name]


def _heading(result: LeakageResult) -> str:
    if not result.probe.calls:
        return "No sentence was searched for"
    judgments = len({judgment.id for judgment, _, _ in result.deciding})
    return f"A sentence decides {judgments} of {len(result.probed)} judgments"


def _sentence_location(judgment: ProbedJudgment, name: str, sentence: DecidingSentence) -> str:
    return (
        f"{judgment.id} ({judgment.gold}), {name}, characters {sentence.start} to {sentence.end}: "
        f"{fixed(sentence.alone)} alone, {fixed(sentence.without)} without"
    )


def _judgment_record(probed: ProbedJudgment) -> dict[str, Any]:
    return {
        "id": probed.id,
        "gold": probed.gold,
        "views": {name: _view_record(view) for name, view in probed.views.items()},
    }


def _view_record(view: ViewResult) -> dict[str, Any]:
    verdict = view.verdict
    return {
        "verdict": verdict.label,
        "reason": verdict.reason,
        "p_allowed": verdict.p_allowed,
        "words": view.words,
        "sentences": view.sentences,
        "deciding": None if view.deciding is None else asdict(view.deciding),
    }


def _view_row(one: ViewScores, result: LeakageResult) -> dict[str, object]:
    scores = one.scores
    row: dict[str, object] = {"view": one.view, "n": scores.n, "lacking": one.lacking}
    row |= {f"gold_{outcome}": sum(labels.values()) for outcome, labels in scores.confusion.items()}
    row |= {name: fixed(getattr(scores, name), 6) for name in ("accuracy", "macro_f1", "yes_rate", "invalid_rate")}
    row |= {"interval_note": scores.interval_note, "above_chance": one.above_chance}
    row |= _bounds("macro_f1", scores.interval)
    if one.auc is not None:
        row |= {"auc": fixed(one.auc.value, 6), **_bounds("auc", one.auc.interval)}
    row |= {"whole_auc": fixed(one.whole_auc, 6), "only_view": one.only_view, "only_whole": one.only_whole}
    return row | {"deciding": sum(name == one.view for _, name, _ in result.deciding)}


def _bounds(name: str, interval: tuple[float, float] | None) -> dict[str, object]:
    ends = ("", "") if interval is None else [fixed(bound, 6) for bound in interval]
    return {f"{name}_low": ends[0], f"{name}_high": ends[1]}


def _sentence_row(judgment: ProbedJudgment, name: str, sentence: DecidingSentence) -> dict[str, object]:
    row = {"id": judgment.id, "gold": judgment.gold, "view": name, **asdict(sentence)}
    return row | {side: fixed(getattr(sentence, side), 6) for side in ("alone", "without")}
