import csv
from itertools import count

import numpy as np
import pytest

from legalrr.audit.rates import rate


@pytest.fixture(scope="session")
def printed():
    """The figures of a matrix (TP, FP, FN, TN, and unanswered ones), as a table prints them; 0 where undefined."""

    def figures(matrix, captions=("macro_f1", "fpr", "fnr"), *, decimals=2, scale=100):
        counts = np.array([*matrix, 0, 0][:6])[:, None]
        values = {caption: float(np.nan_to_num(rate(caption, counts))[0]) for caption in captions}
        return {caption: f"{scale * value:.{decimals}f}" for caption, value in values.items()}

    return figures


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """Writes a table with a row per cell into a folder of its own."""
    numbers = count()

    def write(*rows, name="table.csv"):
        columns = list(dict.fromkeys(column for row in rows for column in row))
        path = tmp_path_factory.mktemp(f"table{next(numbers)}") / name
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write
