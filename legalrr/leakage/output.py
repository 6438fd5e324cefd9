"""Score the views of a probe, and write and print its results.

Scores of each view, against chance and against the whole.

Writes a run of the probe, and prints it.

judgments.jsonl  a row per judgment: outcome; per view the answer, its probability, and the sentence that weighs most
views.csv        a row per view with every score
sentences.csv    a row per judgment and view: the sentence that weighs most, whether it decides
leakage.md       the table, how it is read, and the sentences that decide
run.json         stages, versions, calls, seconds; written last
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from legalrr.leakage.probe import PREAMBLE, QUESTION, TAIL, VIEWS, WHOLE, Deciding, Probe, Probed, Read, log_odds
from legalrr.records import Scored
from legalrr.run.folder import as_json
from legalrr.score.metrics import Auc, auc
from legalrr.score.scorer import PredictionScorer, Scores
from legalrr.segment.sentence_embeddings import shortened
from legalrr.tables import Table, bounds, fixed, share, standard_output, write_files


@dataclass(frozen=True, kw_only=True)
class ViewScores:
    """How well the outcome is read from a view."""

    view: str
    """Its name."""
    lacking: int
    """Judgments that have no such view."""
    scores: Scores
    """Scores on the judgments that have it."""
    auc: Auc | None
    """AUC of the log-odds of `allowed`; None without judgments of both outcomes."""
    whole_auc: float | None
    """AUC of the whole on the same judgments."""
    only_view: int
    """Judgments that this view gets right and the whole does not."""
    only_whole: int
    """Judgments that the whole gets right and this view does not."""

    @property
    def above_chance(self) -> bool | None:
        """Whether the interval of AUC lies above 0.5; None without one."""
        return None if self.auc is None else self.auc.interval[0] > 0.5


def view_scores(probed: Sequence[Probed], scorer: PredictionScorer) -> list[ViewScores]:
    """Scores of every view, in the order of `VIEWS`."""
    found = []
    for name in VIEWS:
        some = [one for one in probed if name in one.views]
        right = [(_right(one, name), _right(one, WHOLE)) for one in some]
        whole = _auc(some, WHOLE, scorer)
        found.append(
            ViewScores(
                view=name,
                lacking=len(probed) - len(some),
                scores=scorer.scores([_scored(one, name) for one in some]),
                auc=_auc(some, name, scorer),
                whole_auc=None if whole is None else whole.value,
                only_view=sum(own and not other for own, other in right),
                only_whole=sum(other and not own for own, other in right),
            )
        )
    return found


def _auc(probed: Sequence[Probed], name: str, scorer: PredictionScorer) -> Auc | None:
    values = [log_odds(one.views[name].verdict, "allowed") for one in probed]
    return auc(values, [one.gold == "allowed" for one in probed], confidence=scorer.confidence)


def _scored(probed: Probed, name: str) -> Scored:
    verdict = probed.views[name].verdict
    return Scored(id=probed.id, gold=probed.gold, label=verdict.label, p_allowed=verdict.p_allowed)


def _right(probed: Probed, name: str) -> bool:
    return probed.views[name].verdict.label == probed.gold


PAGE = "leakage.md"
PIPE_WIDTH = 200
"""Columns where no terminal says how wide it is."""
LONGEST = 600
"""Characters of a sentence that a terminal shows."""
HOW = """\
AUC is chance at 0.5, whatever the inclination to say YES. A view is above chance where the whole interval is.
A preamble (court, parties, date) tells nothing of the case, a tail little: where one is above chance, look for a leak.
The question alone shows no text: what it reaches comes from the name of the party, and every other view has that too.
Where no view is above chance, this backbone cannot tell outcomes apart: neither table nor list says anything of leaks.
A sentence decides where the answer is right by it alone and no longer right without it. If it gives the court's
conclusion, it leaks; if it is a fact on which the case turns, it does not: read it. Of two sentences that tell the
same, neither is found."""
VIEW_COLUMNS = (
    *("view", "n", "lacking", "gold_allowed", "gold_dismissed", "accuracy", "macro_f1", "macro_f1_low"),
    *("macro_f1_high", "interval_note", "auc", "auc_low", "auc_high", "above_chance", "whole_auc", "only_view"),
    *("only_whole", "yes_rate", "invalid_rate", "deciding"),
)
SENTENCE_COLUMNS = ("id", "gold", "view", "decides", "start", "end", "alone", "without", "text")


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """What a run of the probe found."""

    corpus: str
    """Name of the corpus."""
    segment: str
    """Name of what found the roles."""
    backbone: str
    """Name of the backbone."""
    scoring: str
    """How it answered (`legalrr.predictors`)."""
    confidence: float
    """Coverage of intervals."""
    probe: Probe
    """How views were made and sentences found."""
    counts: Mapping[str, int]
    """Judgments read, left out for what reason, taken and asked about."""
    probed: tuple[Probed, ...]
    """The judgments."""
    views: tuple[ViewScores, ...]
    """Scores per view."""

    @property
    def deciding(self) -> list[tuple[Probed, str, Deciding]]:
        """Judgment, view and sentence wherever one decides, in the order of the judgments."""
        return [found for found in weighing(self.probed) if found[2].decides]

    @property
    def title(self) -> str:
        """What was asked about, in words."""
        return f"Leakage probe: {self.corpus}, roles {self.segment}, backbone {self.backbone}"

    @property
    def about(self) -> list[str]:
        """How it was made, in lines."""
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
                f"a sentence decides: the true outcome has probability {self.probe.alone:g} or more by it alone, "
                f"{self.probe.without:g} or less without it; searched in views answered right, "
                f"by {self.probe.calls} calls each"
            )
        else:
            lines.append("no sentence was searched for (probe.calls=0)")
        if without := sum(one.lacking for one in self.views if one.view == PREAMBLE):
            lines.append(f"{without} of {len(self.probed)} judgments show no PREAMBLE")
        return lines


def weighing(probed: Sequence[Probed]) -> list[tuple[Probed, str, Deciding]]:
    """Judgment, view and the sentence that weighs most, wherever one was searched for."""
    return [
        (one, name, read.deciding) for one in probed for name, read in one.views.items() if read.deciding is not None
    ]


def write(found: Leakage, record: Mapping[str, Any], folder: Path) -> None:
    """Write the run folder; run.json comes last. Raises UserError where the folder cannot be made."""
    sentences = (_sentence_row(*one) for one in weighing(found.probed))
    texts = {
        "judgments.jsonl": "".join(as_json(_row(one)) + "\n" for one in found.probed),
        "views.csv": Table.from_records((_view_row(one, found) for one in found.views), VIEW_COLUMNS).csv(),
        "sentences.csv": Table.from_records(sentences, SENTENCE_COLUMNS).csv(),
        PAGE: page(found),
        "run.json": as_json(record, indent=2) + "\n",
    }
    write_files(folder, texts)


def show(found: Leakage) -> None:
    """Print the table, how it is read, and the sentences that decide."""
    from rich.padding import Padding
    from rich.text import Text

    console = standard_output(PIPE_WIDTH)
    console.print(f"\n{found.title}", style="bold")
    for line in found.about:
        console.print(line, style="dim")
    scores_view(found).show(console)
    console.print(HOW, style="dim")
    console.print(f"\n{_heading(found)}", style="bold")
    for judgment, name, sentence in found.deciding:
        console.print(_where(judgment, name, sentence))
        console.print(Padding(Text(shortened(sentence.text, LONGEST)), (0, 0, 0, 4), expand=False))


def page(found: Leakage) -> str:
    """The run in Markdown."""
    parts = [
        f"# {found.title}",
        "\n".join(f"- {line}" for line in found.about),
        scores_view(found).markdown(),
        HOW,
        f"## {_heading(found)}",
        *(
            f"- {_where(judgment, name, sentence)}\n\n      {' '.join(sentence.text.split())}"
            for judgment, name, sentence in found.deciding
        ),
    ]
    return "\n\n".join(parts) + "\n"


def scores_view(found: Leakage) -> Table:
    """The table of the views."""
    level = f"{found.confidence:.0%}"
    return Table(
        header=(
            *("View", "n", "Accuracy", f"Macro-F1 [{level}]", f"AUC [{level}]", "Above chance"),
            *("AUC of the whole", "Only it right", "Only the whole right", "YES %", "Invalid %"),
        ),
        rows=tuple(
            (
                _words(one.view, found),
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
            for one in found.views
        ),
    )


def _words(name: str, found: Leakage) -> str:
    """A view as it is called in the table."""
    return {
        QUESTION: "the question alone",
        PREAMBLE: "the preamble",
        TAIL: f"the last {found.probe.words} words",
        WHOLE: "the whole",
    }[name]


def _heading(found: Leakage) -> str:
    if not found.probe.calls:
        return "No sentence was searched for"
    judgments = len({judgment.id for judgment, _, _ in found.deciding})
    return f"A sentence decides {judgments} of {len(found.probed)} judgments"


def _where(judgment: Probed, name: str, sentence: Deciding) -> str:
    return (
        f"{judgment.id} ({judgment.gold}), {name}, characters {sentence.start} to {sentence.end}: "
        f"{fixed(sentence.alone)} alone, {fixed(sentence.without)} without"
    )


def _row(probed: Probed) -> dict[str, Any]:
    return {
        "id": probed.id,
        "gold": probed.gold,
        "views": {name: _read(read) for name, read in probed.views.items()},
    }


def _read(read: Read) -> dict[str, Any]:
    verdict = read.verdict
    return {
        "verdict": verdict.label,
        "reason": verdict.reason,
        "p_allowed": verdict.p_allowed,
        "words": read.words,
        "sentences": read.sentences,
        "deciding": None if read.deciding is None else asdict(read.deciding),
    }


def _view_row(one: ViewScores, found: Leakage) -> dict[str, object]:
    scores = one.scores
    row: dict[str, object] = {"view": one.view, "n": scores.n, "lacking": one.lacking}
    row |= {f"gold_{outcome}": sum(labels.values()) for outcome, labels in scores.confusion.items()}
    row |= {name: fixed(getattr(scores, name), 6) for name in ("accuracy", "macro_f1", "yes_rate", "invalid_rate")}
    row |= {"interval_note": scores.interval_note, "above_chance": one.above_chance}
    row |= _bounds("macro_f1", scores.interval)
    if one.auc is not None:
        row |= {"auc": fixed(one.auc.value, 6), **_bounds("auc", one.auc.interval)}
    row |= {"whole_auc": fixed(one.whole_auc, 6), "only_view": one.only_view, "only_whole": one.only_whole}
    return row | {"deciding": sum(name == one.view for _, name, _ in found.deciding)}


def _bounds(name: str, interval: tuple[float, float] | None) -> dict[str, object]:
    ends = ("", "") if interval is None else [fixed(bound, 6) for bound in interval]
    return {f"{name}_low": ends[0], f"{name}_high": ends[1]}


def _sentence_row(judgment: Probed, name: str, sentence: Deciding) -> dict[str, object]:
    row = {"id": judgment.id, "gold": judgment.gold, "view": name, **asdict(sentence)}
    return row | {side: fixed(getattr(sentence, side), 6) for side in ("alone", "without")}
