import csv
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st

from legalrr.annotate.party import MATTERS, MAX_NAME_LENGTH, UNKNOWN_PARTY, VERSUS_LINES, MovingParty, find_party
from legalrr.annotate.party_role import CAPTION_LENGTH
from legalrr.paths import root
from legalrr.records import PARTIES, Block, Document, Judgment, Party, Segments, Span
from legalrr.restructure import Restructure
from legalrr.run.pipeline import build_pipeline


def side(preamble: str, rest: str = "", *, named: bool = True, **fields: Any) -> MovingParty:
    """Return the party of a judgment of preamble and facts, all visible."""
    text = f"{preamble}\n{rest}"
    blocks = [Block(role="PREAMBLE", start=0, text=preamble)] if preamble else []
    blocks += [Block(role="FAC", start=len(preamble) + 1, text=rest)] if rest else []
    document = Document(id="j", scheme="build", headings=False, blocks=tuple(blocks))
    return find_party(Judgment(id="j", text=text, **fields), document, named=named)


@pytest.mark.parametrize(
    ("preamble", "name", "role"),
    [
        ("Kishan Lal S/o Ram, .. APPELLANT", "Kishan Lal", "appellant"),
        ("HIGH COURT\nCRIMINAL APPEAL NO. 7 OF 2003\n\n  Kishan Lal   ...Appellant", "Kishan Lal", "appellant"),
        ("W.P.(C) 12/2011\nSmt. Meera Bai & Ors. ..... Petitioners", "Smt. Meera Bai", "petitioner"),
        ("BETWEEN:\n\n1. Kishan Lal, aged about 40 years, … Plaintiff", "Kishan Lal", "plaintiff"),
        ("PETITIONER:\nKISHAN LAL\n\n\tVs.\n\nRESPONDENT:\nSTATE OF SANDPUR", "KISHAN LAL", "petitioner"),
        ("PETITIONER:\nKISHAN LAL AND OTHERS\n\nRESPONDENT:\nSTATE", "KISHAN LAL", "petitioner"),
        ("PETITIONER:\nKishan Lal Vs. RESPONDENT:\nState", "Kishan Lal", "petitioner"),
        ("Appellant: The Sandpur Mills Ltd. and Anr.", "The Sandpur Mills Ltd", "appellant"),
        ("Plaintiff(s): Kishan Lal", "Kishan Lal", "plaintiff"),
        ("PETITIONER:\nKISHAN LAL\nSAINI\n\nRESPONDENT:\nSTATE", "KISHAN LAL SAINI", "petitioner"),
        ("1. Kishan Lal ..... Applicants\n2. Meera Bai", "Kishan Lal", "petitioner"),
        ("Kishan Lal, son of Ram ..... Appellant", "Kishan Lal", "appellant"),
        ("Kishan Lal versus ..... Appellant\nState of Sandpur", "Kishan Lal", "appellant"),
        ("Kishan Lal v. State of Sandpur", "Kishan Lal", None),
        ("Kishan Lal versus Meera Bai", "Kishan Lal", None),
        ("KISHAN LAL VS STATE OF SANDPUR", "KISHAN LAL", None),
        ("Kishan Lal (and others) v. State of Sandpur", "Kishan Lal", None),
        ("Kishan   Lal etc. etc. v. State of Sandpur", "Kishan Lal", None),
    ],
)  # fmt: skip
def test_name_and_role_are_read_from_common_captions(preamble: str, name: str, role: Party | None) -> None:
    assert side(preamble) == MovingParty(role=role, name=name)


@pytest.mark.parametrize(
    "preamble",
    [
        "",
        "Judgment of the bench, delivered in the monsoon session.",
        "Petitioner: by counsel",
        "Appellant: in person",
        f"{'Kishan Lal ' * 9}... Appellant",
        "Kishan Lal\nS/o Ram\nPlot number four\nSandpur ... Appellant",
        "1. Kishan Lal,\nSandpur.\n2. Meera Bai ... Petitioners",
        "BETWEEN:\nAll are residing at Sandpur ... Petitioners",
        "BETWEEN: ... Petitioners",
        "Kishan Lal v. State of Sandpur (1987) 2 XYZ 14",
        "12 / 45 ... Appellant",
        "... Appellant",
        "PETITIONER:\n\nRESPONDENT:\nState",
        "PETITIONER: 1952 XYZ 202\nKISHAN LAL\n\nRESPONDENT:\nSTATE",
        "Commissioner of Central Excise & ... Appellant\nCustoms, Sandpur",
        "SANDPUR SOUHARD ... Petitioner\nCREDIT SOCIETY LTD",
        "T. Rao and M. C. Roy, Advocate General, T. V. Rao, for the appellant.",
        "Thus, in Ratnam v. State of Sandpur",
        "Reference was made to Kishan Lal v. Meera Bai",
        "Coram : T. V. Rao",
        "] Nasik ... Appellant\nVersus\nThe State ... Respondent\nWITH\nThe State ... Appellant",
    ],
    ids=lambda text: text[:24],
)
def test_a_doubtful_name_is_left_out(preamble: str) -> None:
    assert side(preamble).name is None


def test_only_the_head_of_the_preamble_is_searched_for_a_name() -> None:
    assert side("x\n" * CAPTION_LENGTH + "Kishan Lal ... Appellant").name is None
    assert side("Word.\n" * VERSUS_LINES + "Kishan Lal v. State of Sandpur").name is None


def test_only_the_first_label_names_the_party() -> None:
    later = "WITH\nCRIMINAL APPEAL NO. 8 OF 2003\nState of Sandpur ... Appellant"
    assert side(f"Kishan Lal ... Appellant\n{later}").name == "Kishan Lal"
    assert side(f"12, Mill Road\nSandpur ... Appellant\n{later}").name is None


def test_name_has_a_maximum_length() -> None:
    name = "K" * MAX_NAME_LENGTH
    assert side(f"Appellant: {name}").name == name
    assert side(f"Appellant: {name}K").name is None


def test_name_but_not_role_is_left_out_on_request() -> None:
    assert side("PETITIONER:\nKISHAN LAL", named=False) == MovingParty(role="petitioner", name=None)


def test_the_corpus_takes_precedence() -> None:
    preamble = "PETITIONER:\nKISHAN LAL"
    assert side(preamble, petitioner="Meera Bai") == MovingParty(role="petitioner", name="Meera Bai")
    assert side(preamble, party="appellant", petitioner="Meera Bai") == MovingParty(role="appellant", name="Meera Bai")
    assert side(preamble, petitioner="Meera Bai", named=False) == MovingParty(role="petitioner", name=None)


def test_name_is_left_out_if_corpus_and_caption_disagree_on_the_role() -> None:
    assert side("Kishan Lal ... Appellant", party="appellant").name == "Kishan Lal"
    assert side("Kishan Lal ... Appellant", party="plaintiff") == MovingParty(role="plaintiff", name=None)


def test_a_corpus_name_above_the_maximum_length_is_left_out() -> None:
    assert side("", petitioner="K" * MAX_NAME_LENGTH).name == "K" * MAX_NAME_LENGTH
    assert side("", petitioner="K" * MAX_NAME_LENGTH + "K").name is None


@pytest.mark.parametrize(
    ("preamble", "role"),
    [
        ("IN THE HIGH COURT OF SANDPUR\nCRIMINAL APPEAL NO. 7 OF 2003", "appellant"),
        ("Appeal No. 30 of 1965.\nFrom the judgment in Writ Petition No. 4 of 1960.", "appellant"),
        ("vil Appeal No. 31 of 1954.\nFrom the decree in Suit No. 2310 of 1950.", "appellant"),
        ("R.A NO.349/2013\nAppellant /s    1 Kishan Lal", "appellant"),
        ("Plaintiff/Appellant : Kishan Lal", "appellant"),
        ("Kishan Lal  ----- Accused/petitioners", "petitioner"),
        ("CRIMINAL REFERENCE CASE NO. 2/2016\nC/W\nCRIMINAL APPEAL No. 3\nRegistrar, Petitioner", "appellant"),
        ("WRIT PETITION NO.40548/2013 (T-IT)", "petitioner"),
        ("CRL.RP.NO.2337 OF 2011", "petitioner"),
        ("Special Leave Petition (Civil) No. 3865 of 1987.", "petitioner"),
        ("No. 7 of 1972.\nUnder Article 32 of the Constitution.", "petitioner"),
        ("TITLE SHEET FOR SUITS\nO.S.NO.12/2009\nPlaintiff : Kishan Lal", "plaintiff"),
        ("PETITIONER:\nKISHAN LAL\nVs.\nRESPONDENT:\nSTATE\nJURISDICTION: Civil Appeal No. 4", "appellant"),
        ("PETITIONER:\nKISHAN\nVs.\nRESPONDENT:\nSTATE\nJURISDICTION: Writ Petition (Civil) No. 4", "petitioner"),
        ("PETITIONER:\nKISHAN LAL\nVs.\nRESPONDENT:\nSTATE", "petitioner"),
    ],
)  # fmt: skip
def test_caption_determines_the_role_regardless_of_the_facts(preamble: str, role: Party) -> None:
    facts = "The plaintiff sued the defendant. The plaintiff, the plaintiffs and the plaintiff again were heard."
    assert side(preamble, facts).role == role


@pytest.mark.parametrize(
    ("facts", "role"),
    [
        ("The plaintiff sued. The Plaintiffs won. The appellant came here.", "appellant"),
        ("The suit out of which this appeal arises was brought by the plaintiff. The plaintiff won.", "appellant"),
        ("The petitioner moved the High Court. The petitioner won. Hence, the present appeal.", "appellant"),
        ("A writ petition under Article 226 was allowed. The petitioner answers in this appeal.", "appellant"),
        ("The present appellant lost. This writ petition was dismissed. The appellant came here.", "appellant"),
        ("This writ petition is late. An appeal lies to the Board. The petitioner was not heard.", "petitioner"),
        ("In these two writ petitions the petitioners pray for a writ.", "petitioner"),
        ("The petitioner was detained.", "petitioner"),
        ("The plaintiff sues for rent.", "plaintiff"),
        ("Nobody is named.", None),
    ],
)  # fmt: skip
def test_without_a_caption_the_text_determines_the_role(facts: str, role: Party | None) -> None:
    assert side("", facts).role == role


@pytest.mark.parametrize(
    ("kind", "role"),
    [("appeal", "appellant"), ("criminal appeal", "appellant"), ("writ petition", "petitioner"), ("suit", "plaintiff"),
     ("tax", "plaintiff"), ("Tax, appeal_or_petition", "plaintiff")],
)  # fmt: skip
def test_kind_of_matter_takes_precedence_over_the_text(kind: str, role: Party) -> None:
    assert side("", "The plaintiff was heard.", kind=kind).role == role


@given(
    st.lists(
        st.sampled_from(["The plaintiff sued.", "The petitioner applied below.", "The suit was decreed."]), max_size=9
    )
)
def test_in_an_appeal_no_facts_change_the_appellant(facts: list[str]) -> None:
    assert side("CIVIL APPEAL NO. 7 OF 2003", " ".join(facts)).role == "appellant"
    assert side("", " ".join(["This appeal is by special leave.", *facts])).role == "appellant"


def test_a_party_of_unknown_role_brought_the_case() -> None:
    assert side("", "Nobody is named.") == MovingParty(role=None, name=None)
    assert str(MovingParty(role=None)) == UNKNOWN_PARTY == "the party that brought the case to this court"
    assert str(MovingParty(role=None, name="Meera Bai")) == f"{UNKNOWN_PARTY}, Meera Bai"


def test_every_role_has_its_matter() -> None:
    assert [MovingParty(role=role).matter for role in (*PARTIES, None)] == list(MATTERS.values())
    assert MovingParty(role="petitioner").matter == "petition"


def test_party_is_formatted_for_the_question() -> None:
    assert str(MovingParty(role="petitioner")) == "the petitioner"
    assert str(MovingParty(role="petitioner", name="Meera Bai")) == "the petitioner, Meera Bai"


def judgment(*parts: tuple[str, str]) -> tuple[Judgment, Segments]:
    text, spans = "", []
    for role, words in parts:
        text += "\n" if text else ""
        spans.append(Span(start=len(text), end=len(text) + len(words), role=role))
        text += words
    return Judgment(id="j", text=text), Segments(id="j", scheme="build", spans=tuple(spans))


def test_hidden_text_affects_neither_name_nor_role() -> None:
    case, segments = judgment(
        ("PREAMBLE", "The bench of Sandpur."),
        ("FAC", "The appellant owns a well."),
        ("RPC", "Kishan Lal v. State of Sandpur. The petitioner, the petitioners, the petitioner."),
        ("RPC", "Meera Bai ... Petitioner"),
    )
    document = Restructure().restructure(case, segments, None, 0)
    assert find_party(case, document, named=True) == MovingParty(role="appellant", name=None)


def test_all_arms_name_the_same_party() -> None:
    case, segments = judgment(
        ("FAC", "The petitioner owns a well."), ("NONE", "The appellant, that is, the owner, was heard at noon.")
    )
    arms = [Restructure(), Restructure(order="role"), Restructure(order="role", content="main")]
    sides = {find_party(case, arm.restructure(case, segments, None, 0), named=True) for arm in arms}
    assert sides == {MovingParty(role="appellant", name=None)}


def squeezed(name: str) -> str:
    """Return letters and digits only, in lower case."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


@pytest.mark.data
@pytest.mark.parametrize(("corpus", "tagger", "share"), [("build", "gold", 0.5), ("inabs", "crf", 0.0)])
def test_party_matches_annotated_judgments(corpus: str, tagger: str, share: float) -> None:
    """`parties.csv` has the party of fifty random judgments per corpus, annotated from their heads."""
    if not os.environ.get("LEGALRR_DATA"):
        pytest.skip("LEGALRR_DATA names no folder of real judgments")
    with (Path(__file__).parent / "parties.csv").open(encoding="utf-8", newline="") as file:
        annotated = {row["id"]: row for row in csv.DictReader(file) if row["corpus"] == corpus}
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        pipeline = build_pipeline(compose("config", [f"corpus={corpus}", f"segment={tagger}"]))
    found: dict[str, MovingParty] = {}
    for case in pipeline.corpus.read(pipeline.corpus.split):
        if case.id in annotated:
            blind = replace(case, outcome=None)
            document = pipeline.restructure.restructure(blind, pipeline.segment.segment(case), None, 0)
            found[case.id] = find_party(blind, document, named=True)
    assert {id: one.role or "unknown" for id, one in found.items()} == {
        id: row["role"] for id, row in annotated.items()
    }
    named = {id: squeezed(one.name) for id, one in found.items() if one.name}
    assert named == {id: squeezed(annotated[id]["name"]) for id in named}
    assert len(found) == 50
    assert len(named) >= share * len(found)


# In each of these the plaintiff, or the petitioner below, is the respondent here.
RESPONDENTS = {
    "lawai50": ("gold", ("1953_L_1", "2009_B_16")),
    "build": ("gold", ("train-28-1786", "train-64-4112", "train-220-1740")),
    "inabs": ("crf", ("train_1491", "train_3654", "train_3726", "train_4608", "train_465")),
}


@pytest.mark.data
@pytest.mark.parametrize("corpus", RESPONDENTS)
def test_no_question_names_the_respondent(corpus: str) -> None:
    if not os.environ.get("LEGALRR_DATA"):
        pytest.skip("LEGALRR_DATA names no folder of real judgments")
    tagger, ids = RESPONDENTS[corpus]
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        pipeline = build_pipeline(compose("config", [f"corpus={corpus}", f"segment={tagger}"]))
    parties = {}
    for case in pipeline.corpus.read(pipeline.corpus.split):
        if case.id in ids:
            document = pipeline.restructure.restructure(case, pipeline.segment.segment(case), None, 0)
            parties[case.id] = str(find_party(case, document, named=False))
    assert parties == dict.fromkeys(ids, "the appellant")
