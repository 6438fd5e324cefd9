import pytest

from legalrr.audit.audit import Settings, audit, read_claims
from legalrr.audit.findings import findings
from legalrr.errors import UserError


def rows_of(printed, **more):
    matrices = {"none": (16, 8, 6, 14), "D": (18, 7, 4, 15), "C": (21, 2, 1, 20)}
    return [{"components": arm, "n": 44, "positives": 22, **more, **printed(one)} for arm, one in matrices.items()]


def written(path, text):
    path.write_text("claim,source,table,components,reference,metric,points\n" + text, encoding="utf-8")
    return path


def test_a_claim_is_traced_to_the_cells_that_differ_so(printed, table):
    path = table(*rows_of(printed))
    claims = written(
        path.with_suffix(".claims.csv"),
        "a gain,abstract,,,none,macro_f1,6.76\nlarge,,,C,,macro_f1,25.1\nother,,,,,macro_f1,1.0\n",
    )
    found = audit([path], settings=Settings())
    assert [[one.arm.cell.components for one in claim.found] for claim in found.claims] == [["D"], ["C"], []]
    output = findings(found)["Claims"]
    assert output[0].startswith("A gain (abstract): only table.csv, D less none (D is 3 of 44 cases ahead of none")
    assert output[2] == "Other: no two cells of a block differ by this much."
    # The same file by name.
    again = audit([path], claims=claims, settings=Settings())
    assert [one.claim for one in again.claims] == [one.claim for one in found.claims]


def test_tables_named_by_a_claim_are_read_from_its_folder(printed, table, tmp_path):
    first, second = table(*rows_of(printed)), table(*rows_of(printed), name="second.csv")
    (first.parent / "second.csv").write_bytes(second.read_bytes())
    claims = written(first.parent / "said.csv", "a gain,,second.csv,,none,macro_f1,6.76\n")
    found = audit([first], claims=claims, settings=Settings())
    assert found.tables == ("table.csv", "second.csv")
    (claim,) = found.claims
    assert [one.arm.cell.table for one in claim.found] == ["second.csv"]


def test_significance_at_best_is_reported(printed, table):
    output = findings(audit([table(*rows_of(printed))], settings=Settings()))["Against the reference arm"]
    assert output == [
        "table.csv: C is 11 of 44 cases ahead of none: McNemar p at least 0.000977 (b = 11, c = 0), permutation p at "
        "least 0.000977; C could be significant at 0.05, at best."
    ]


def test_pairs_that_cannot_be_tested_say_why(printed, table):
    rows = rows_of(printed)
    rows[1] |= {"n": 40, "positives": 22}
    path = table(*rows, {"components": "impossible", "n": 44, "positives": 22, "fpr": "33.00"})
    reasons = {one.arm.cell.components: one.reason for one in audit([path], settings=Settings()).differences}
    assert reasons == {"D": "not the same cases", "C": "", "impossible": "no matrix fits"}
    runs = table(*[{**row, "runs": 3} for row in rows_of(printed)])
    assert {one.reason for one in audit([runs], settings=Settings()).differences} == {
        "means over runs: answers to one case are not paired"
    }
    missing = table(*[{**row, "unanswered": "any"} for row in rows_of(printed)])
    assert audit([missing], settings=Settings()).differences[0].reason == "some cases are unanswered"
    loose = table(*[{"components": arm, "n": 300, "positives": 150, "accuracy": "61.3"} for arm in ("none", "D")])
    assert audit([loose], settings=Settings()).differences[0].reason == "too many matrices fit"
    classes = table(
        {"components": "none", "n": 4, "accuracy": "50.0", "fpr": "0.0", "fnr": "66.7"},
        {"components": "D", "n": 4, "accuracy": "50.0", "fpr": "66.7", "fnr": "0.0"},
    )
    assert audit([classes], settings=Settings()).differences[0].reason in (
        "no two matrices share their class counts",
        "no matrix fits",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",,,,,fpr,1\n", r":2: no claim"),
        ("x,,,,,fpr,\n", r":2: no points"),
        ("x,,,,,fpr,many\n", r":2: points 'many' is not a number"),
        ("x,,,,,fpr,1,2\n", r":2: more fields than columns"),
        ('"x\n', r"cannot read the claims"),
    ],
)
def test_damaged_claims_are_reported_with_file_and_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_claims(written(tmp_path / "claims.csv", text))


def test_claims_without_their_columns_or_file_are_reported(tmp_path):
    path = tmp_path / "claims.csv"
    path.write_text("claim,points\n")
    with pytest.raises(UserError, match=r":1: no column metric"):
        read_claims(path)
    with pytest.raises(UserError, match="cannot read the claims: No such file"):
        read_claims(tmp_path / "none.csv")
