"""Tables of printed rates: records of their cells and figures, and a reader of CSV files.

A file has a row per figure or a row per cell.

A row per figure, as in data/published/khatri2025_prediction.csv:

    dataset,model,components,metric,value,sd,subset,n
    dataset1,Llama,D+R,macro_f1,75.0,,all,44

A row per cell, with a column per rate and, for means over runs, its `<rate>_sd`:

    model,n,positives,macro_f1,fpr,fnr
    mine,44,22,0.7488,0.3182,0.1818

Only the figures are required. `dataset`, `model` (or `system`), `components` (or `arm`) and `subset` identify the cell;
`n`, `positives`, `unanswered` (of n, counted as misses; `any`: an unknown number) and `runs` describe its cases; other
columns are ignored. A figure counts as rounded to the most decimals of its column, so that 28 among 36.84 is 28.00.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from legalrr.audit.rates import ALIASES, NAMES, OVERLAP
from legalrr.errors import UserError, file_errors

Rounding = Literal["nearest", "truncated", "either"]
Scale = Literal["percent", "fraction"]
WHOLE = "all"
"""Subset of a cell that covers all cases of its dataset."""
SIZES = ("n", "positives", "unanswered", "runs")
"""Columns that describe the cases of a cell."""
COLUMNS = {"system": "model", "arm": "components"}
"""Other names of columns."""
LABELS = ("dataset", "model", "components", "subset")
NUMBER = re.compile(r"-?\d+(\.\d*)?%?")
ABSENT = frozenset({"", "-", "\N{EN DASH}", "\N{EM DASH}", "na", "n/a"})
"""Texts of a figure that is not printed."""


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A number as printed."""

    value: float
    """The number, in the scale of the print."""
    decimals: int
    """Number of significant decimals."""
    rounding: Rounding = "nearest"
    """How it was rounded."""

    def bounds(self) -> tuple[float, float]:
        """Low and high of what is printed as this number; both are included, so no rule for ties is needed."""
        unit = 10.0**-self.decimals
        away = unit if self.value >= 0 else -unit
        nearest = self.value - unit / 2, self.value + unit / 2
        truncated = min(self.value, self.value + away), max(self.value, self.value + away)
        if self.rounding == "either":
            return min(nearest[0], truncated[0]), max(nearest[1], truncated[1])
        return nearest if self.rounding == "nearest" else truncated


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One printed figure."""

    caption: str
    """Its caption: a rate (`legalrr.audit.rates.NAMES`), or a score of texts."""
    printed: Printed
    """The number."""
    text: str
    """The number as it stands in the file."""
    scales: Mapping[float, int]
    """Divisor (100: a percentage) -> how far-fetched it is; 0 is the most plausible."""
    sd: Printed | None
    """Standard deviation over runs, in the same scale; None where none is printed."""
    line: int
    """Line of the file."""

    def bounds(self, scale: float) -> tuple[float, float]:
        """Low and high of the rate."""
        low, high = self.printed.bounds()
        return low / scale, high / scale

    @property
    def scale(self) -> float:
        """The most plausible divisor; of two equally plausible ones, that of fractions."""
        return min(self.scales, key=lambda scale: (self.scales[scale], scale))


@dataclass(frozen=True, kw_only=True)
class ReportedCell:
    """What a table prints of one arm of one model on one set of cases."""

    table: str
    """File name of the table."""
    line: int
    """Its first line."""
    dataset: str
    """Name of the dataset; "" where the table has none, as for model and components."""
    model: str
    """Name of the model."""
    components: str
    """The arm: which switches were on."""
    subset: str
    """`all`, or the name of the part of the cases that was scored."""
    figures: Mapping[str, Figure]
    """Caption -> figure."""
    n: int | None
    """Cases scored; None where it is not stated."""
    positives: int | None
    """Of these, cases of the positive class."""
    unanswered: int | None
    """Of these, cases without an answer, counted as misses; None: any number."""
    runs: int | None
    """Runs that the figures are means of; None where it is not stated."""

    @property
    def block(self) -> tuple[str, str, str, str]:
        """Table, dataset, model and subset: the column of a table, whose figures were computed the same way."""
        return (self.table, self.dataset, self.model, self.subset)

    @property
    def title(self) -> str:
        """Title of the block: dataset, model and subset, as far as the table names them."""
        subset = "" if self.subset == WHOLE else self.subset
        return ", ".join(part for part in (self.dataset, self.model, subset) if part) or self.table

    @property
    def repeated(self) -> bool:
        """Whether its figures are means over runs."""
        return (self.runs or 1) > 1 or any(figure.sd is not None for figure in self.figures.values())


def join_words(parts: Sequence[str], conjunction: str = "and") -> str:
    """Join words into a phrase: "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {conjunction} {parts[-1]}" if parts else ""


def join_numbers(values: Sequence[int]) -> str:
    """Join sorted whole numbers, consecutive ones as a range: "1 to 3 or 7"."""
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return join_words([str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts], "or")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes given by options, which override the table's columns: dataset -> number, "" for every dataset."""

    n: Mapping[str, int | None] = field(default_factory=dict)
    """Cases of the dataset; the n of a subset is not overridden."""
    positives: Mapping[str, int | None] = field(default_factory=dict)
    """Cases of the positive class."""
    unanswered: Mapping[str, int | None] = field(default_factory=dict)
    """Cases without an answer; None: any number."""
    runs: Mapping[str, int | None] = field(default_factory=dict)
    """Runs that the figures are means of."""

    def of(self, name: str, labels: Sequence[str]) -> tuple[int | None] | None:
        """Get the size of a cell in a tuple; None where no option gives it."""
        given: Mapping[str, int | None] = getattr(self, name)
        dataset, subset = labels[0], labels[3]
        if subset != WHOLE and name in ("n", "positives"):
            return None
        return (given[dataset],) if dataset in given else (given[""],) if "" in given else None


NO_SIZES = Sizes()
"""No option overrides the table."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A printed figure with the rest of its row."""

    where: str
    line: int
    labels: tuple[str, ...]
    sizes: Mapping[str, int | None]
    caption: str
    text: str
    sd: str

    @property
    def column(self) -> tuple[str, ...]:
        """The column of the print that it belongs to."""
        dataset, model, _, subset = self.labels
        return (dataset, model, subset, self.caption)


def read_table(
    path: Path,
    *,
    sizes: Sizes = NO_SIZES,
    names: Mapping[str, str] | None = None,
    rounding: Rounding = "nearest",
    scale: Scale | None = None,
) -> list[ReportedCell]:
    """Read the cells of a table, in its order.

    Args:
        path: a CSV file in UTF-8.
        sizes: sizes given by options.
        names: caption of the file -> rate, or "ignore".
        rounding: how figures were rounded.
        scale: scale of all figures; None: percentages in a column with a figure above 1.

    Raises:
        UserError: the file cannot be read, a column is missing, a figure is not a number or is given twice, a
            caption is unknown, a size is impossible; names file and line.
    """
    rows = list(_rows(path, names or {}))
    if not rows:
        raise UserError("no figures", where=str(path), cure="a row per figure with columns metric and value")
    decimals: dict[tuple[str, ...], int] = defaultdict(int)
    for row in rows:
        for kind, text in (("value", row.text), ("sd", row.sd)):
            key = (*row.column, kind)
            decimals[key] = max(decimals[key], len(text.rstrip("%").partition(".")[2]))
    percent = {
        (row.labels[0], row.caption)
        for row in rows
        if scale is None and (abs(_number(row.text)) > 1 or row.text.endswith("%"))
    }

    def figure(row: _Row) -> Figure:
        value = Printed(value=_number(row.text), decimals=decimals[*row.column, "value"], rounding=rounding)
        spread = (
            Printed(value=_number(row.sd), decimals=decimals[*row.column, "sd"], rounding=rounding) if row.sd else None
        )
        return Figure(
            caption=row.caption,
            printed=value,
            text=row.text,
            scales=_scales(
                value.value,
                percent=scale == "percent" or (row.labels[0], row.caption) in percent,
                mixed=scale is None and any(dataset == row.labels[0] for dataset, _ in percent),
            ),
            sd=spread,
            line=row.line,
        )

    grouped: dict[tuple[str, ...], dict[str, _Row]] = defaultdict(dict)
    for row in rows:
        first = grouped[row.labels].setdefault(row.caption, row)
        if first is not row:
            raise UserError(
                f"{row.caption} of this cell is also on line {first.line}",
                where=row.where,
                cure="give every cell labels of its own: dataset, model, components, subset",
            )
    return [
        _cell(path, list(own.values()), {caption: figure(row) for caption, row in own.items()}, sizes)
        for own in grouped.values()
    ]


def _cell(path: Path, rows: Sequence[_Row], figures: Mapping[str, Figure], sizes: Sizes) -> ReportedCell:
    first = rows[0]
    for row in rows:
        if row.sizes != first.sizes:
            raise UserError(
                f"{', '.join(SIZES)} differ from line {first.line}", where=row.where, cure="a cell has one set of cases"
            )
    given = {name: sizes.of(name, first.labels) for name in SIZES}
    size = {name: first.sizes.get(name) if one is None else one[0] for name, one in given.items()}
    n, positives, unanswered = size["n"], size["positives"], size["unanswered"]
    for name, part in (("positives", positives), ("unanswered", unanswered)):
        if n is not None and part is not None and part > n:
            raise UserError(f"{part} {name} of {n} cases", where=first.where, cure=f"{name} are a part of n")
    # By default every case was answered, unless the table prints a rate of unanswered ones.
    stated = given["unanswered"] is not None or "unanswered" in first.sizes or "invalid_rate" in figures
    dataset, model, components, subset = first.labels
    return ReportedCell(
        table=path.name,
        line=first.line,
        dataset=dataset,
        model=model,
        components=components,
        subset=subset,
        figures=figures,
        n=n,
        positives=positives,
        unanswered=unanswered if stated else 0,
        runs=size["runs"],
    )


def _scales(value: float, *, percent: bool, mixed: bool) -> dict[float, int]:
    """List the possible scales of a figure. A small figure among percentages may be a fraction by mistake.

    Args:
        value: the figure.
        percent: whether its column holds percentages.
        mixed: whether another column of the dataset does; then a column of small figures may hold either.
    """
    if not percent:
        return {1.0: 0, 100.0: 0} if mixed else {1.0: 0}
    return {100.0: 0, 1.0: 1} if 0 < abs(value) <= 1 else {100.0: 0}


def _rows(path: Path, names: Mapping[str, str]) -> Iterator[_Row]:
    try:
        with file_errors(path, doing="cannot read the table"), path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [COLUMNS.get(one.strip().lower(), one.strip().lower()) for one in next(reader, [])]
            _check_header(header, path)
            for fields in reader:
                if not any(field.strip() for field in fields):
                    continue
                where = f"{path}:{reader.line_num}"
                if len(fields) != len(header):
                    raise UserError(
                        f"{len(fields)} fields under {len(header)} columns", where=where, cure="quote commas in a field"
                    )
                yield from _figures(dict(zip(header, fields, strict=True)), reader.line_num, names, path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read the table: {error}", where=str(path), cure="give a CSV file in UTF-8") from error


def _check_header(header: Sequence[str], path: Path) -> None:
    twice = sorted({one for one in header if header.count(one) > 1})
    if twice:
        raise UserError(f"two columns {twice[0]!r}", where=f"{path}:1", cure="keep one of them")
    if ("metric" in header) != ("value" in header):
        raise UserError(
            "only one of the columns metric and value", where=f"{path}:1", cure="give both, or use a column per rate"
        )
    if "metric" not in header and not any(_known(one) for one in header):
        raise UserError(
            "no column is a rate", where=f"{path}:1", cure=f"columns metric and value, or some of {', '.join(NAMES)}"
        )


def _figures(row: Mapping[str, str], line: int, names: Mapping[str, str], path: Path) -> Iterator[_Row]:
    where = f"{path}:{line}"
    labels = tuple(row.get(name, "").strip() or (WHOLE if name == "subset" else "") for name in LABELS)
    sizes = {name: _size(name, row[name].strip(), where) for name in SIZES if row.get(name, "").strip()}
    if "metric" in row:
        found = [(row["metric"], row["value"], row.get("sd", ""))]
    else:
        own = [name for name in row if _known(name) or name in names]
        found = [(name, row[name], row.get(f"{name}_sd", "")) for name in own]
    for name, text, sd in found:
        caption = _caption(name.strip(), names, where)
        if caption is None or text.strip().lower() in ABSENT:
            continue
        for number in (text, sd):
            if number.strip() and not NUMBER.fullmatch(number.strip()):
                raise UserError(f"{number.strip()!r} is not a number", where=where, cure="such as 61.36 or 0.6136")
        yield _Row(
            where=where, line=line, labels=labels, sizes=sizes, caption=caption, text=text.strip(), sd=sd.strip()
        )


def _known(name: str) -> bool:
    plain = _plain(name)
    return plain in NAMES or plain in ALIASES or plain in OVERLAP


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _caption(name: str, names: Mapping[str, str], where: str) -> str | None:
    given = names.get(name, name)
    if given == "ignore":
        return None
    plain = _plain(given)
    plain = ALIASES.get(plain, plain)
    if plain in NAMES or plain in OVERLAP:
        return plain
    raise UserError(
        f"unknown rate {given!r}", where=where, cure=f"--as {name or 'NAME'}=RATE, one of {', '.join(NAMES)}, ignore"
    )


def _size(name: str, text: str, where: str) -> int | None:
    if name == "unanswered" and text == "any":
        return None
    if not re.fullmatch(r"\d+", text) or (name in ("n", "runs") and int(text) < 1):
        raise UserError(f"{name} {text!r} is not a number of {'runs' if name == 'runs' else 'cases'}", where=where)
    return int(text)


def _number(text: str) -> float:
    return float(text.rstrip("%"))
