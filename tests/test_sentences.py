"""Sentences: offsets that cover the text, and conventions of Indian legal English."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from legalrr.sentences import split

PIECES = st.sampled_from(
    [
        "The appeal is allowed",
        ". ",
        "? ",
        "!",
        "\n",
        "\n\n",
        " ",
        "v. ",
        "Rs. ",
        "12. ",
        "(1) ",
        "No.",
        '"',
        ")",
        "IN",
        "…",
        "।",
    ]
)


@given(st.one_of(st.text(max_size=300), st.lists(PIECES, max_size=60).map("".join)))
@example("")
@example(" \n\t ")
@example("\u2028A.\x0b B.\r\n\r\nC")
@example("\ud800. The end")
def test_sentences_are_ordered_disjoint_trimmed_and_cover_every_visible_character(text):
    found = split(text)
    at = 0
    for start, end in found:
        assert at <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        assert not text[at:start].strip()
        at = end
    assert not text[at:].strip()


@given(st.lists(PIECES, max_size=60).map("".join))
def test_splitting_a_sentence_again_loses_nothing(text):
    for start, end in split(text):
        again = split(text[start:end])
        assert again[0][0] == 0
        assert again[-1][1] == end - start


GOLDEN = {
    "two": ["The suit was decreed.", "The defendant appealed."],
    "versus": ["He relied on Ram Avtar v. State of Bihar.", "We have read it."],
    "versus vs": ["Gopal vs. Union of India is in point.", "It was followed."],
    "rupees": ["He paid Rs. 5,000 on that day.", "No receipt was given."],
    "number": ["Civil Appeal No. 12 of 1969 and Nos. 13 and 14 were heard together.", "They fail."],
    "others": ["Mohan Lal & Ors. v. Sita Devi & Anr. was cited.", "It does not help."],
    "code at the end": ["He was charged under s. 302 I.P.C.", "The Sessions Judge acquitted him."],
    "code inside": ["Under s. 161 Cr.P.C. statements are not evidence.", "They may be used to contradict."],
    "u/s": ["He was convicted u/s. 304 and sentenced.", "He appeals."],
    "dated": ["The order dt. 5.6.1981 was served.", "Time ran from then."],
    "viz.": ["Two grounds, viz. delay and waiver, were taken.", "Both fail."],
    "i.e. and e.g.": ["The term, i.e. seven years, had run, e.g. in Form A.", "He left."],
    "titles": ["Dr. Rao, Mr. Sen, Mrs. Das, Smt. Kamla and Shri. Lal deposed.", "They were believed."],
    "hon'ble": ["The Hon'ble. Judge agreed.", "So did Hon'ble Mr. Justice Iyer."],
    "company": ["Bharat Cotton Co. Ltd. Nagpur sold to Hind Mills Pvt. Ltd.", "It paid."],
    "lettered items": ["(a) The sale.", "(b) The lease."],
    "articles": [
        "Art. 14 and Arts. 19 and 21, with Sec. 5, cl. (b), were argued.",
        "See p. 12, pp. 14 to 16 and para. 9.",
    ],
    "reports": ["See A.I.R. 1961 S.C. 112, (1970) 2 S.C.R. 5 and (1980) 1 S.C.C. 9.", "They are clear."],
    "initials": ["A. K. Menon and R.S. Pillai argued.", "The judgment of S. R. DAS, C.J. was read."],
    "paragraph numbers": ["12. The appellant was served.", "13. He did not appear."],
    "bracketed numbers": ["(1) Was he served?", "(2) Was he heard?"],
    "roman number": ["ii. The notice was late.", "iii. It was vague."],
    "year ends": ["The lease was made in 1950.", "It ran for ten years."],
    "quotation": ['He said: "I was there."', "Nobody believed him."],
    "bracket": ["He left (in haste.)", "He never came back."],
    "question": ["Was it served?", "It was!", "We so hold…", "It stands."],
    "small letter follows": ["The sale (ex. 4 etc. of the list) was void.", "It fell."],
    "missing space": ["The appeal fails.", "The order stands."],
    "dots of omission": ["He said . . . . that he was there.", "He was."],
    "sub-section": ["The claim under sub-s. (3) of s. 25 fails.", "Sub-r. (2) of r. 7 was not invoked."],
    "quote that stands off": ['He said: "I was there. "', "Nobody believed him."],
    "quote before the stop": ['They called it a "lease".', 'He called it a "licence".', "It was neither."],
    "stray comma": ["He has. , in his petition, denied it.", "He was believed."],
    "quoted number": ['It reads: "31. The tax shall be paid."', "It was paid."],
    "quoted section": ['It reads: "Section 37. Offences to be tried by him."', "He tried it."],
    "section at the start": ["Section 37. Offences to be tried by him.", "He tried it."],
    "quoted omission": ['He wrote: ". . The shop was let."', "It was not."],
    "long roman number": ["xviii. The notice was late.", "xix. It was vague."],
    "item without space": ["Half of them by promotion.", "(ii)25 per cent by examination."],
    "witness with a slash": ["He was seen by PW-2/M. Ismail Khan.", "The others fled."],
    "paragraph number amid a line": ["11. It was read.", "That is all.", "Reasons", "12. He was served."],
    "number that counts something else": [
        "4. He was seen on May 5.",
        "It rained.",
        "He ran under s. 5.",
        "That was late.",
    ],
    "danda": ["अपील खारिज।", "आदेश।"],
}


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_sentences(case):
    text = ("" if case == "missing space" else " ").join(GOLDEN[case])
    assert [text[a:b] for a, b in split(text)] == GOLDEN[case]


LINES = {
    "blank line": ("The facts are these\n\nThe plaintiff sued", ["The facts are these", "The plaintiff sued"]),
    "page break amid a sentence": ("the order of conviction and\n\nsentence was made.", None),
    "wrapped line": ("He was tried under the\nIndian Penal Code and\nacquitted.", None),
    "heading": (
        "CRIMINAL JURISDICTION\nThe appellant was tried.",
        ["CRIMINAL JURISDICTION", "The appellant was tried."],
    ),
    "heading after text": ("It was read out\nORDER\nDismissed.", ["It was read out", "ORDER", "Dismissed."]),
    "numbered line": ("as follows\n2. He came late.", ["as follows", "2. He came late."]),
    "small letters go on": (f"{'word ' * 30}\nand more words.", None),
    "page number amid a sentence": ("the order of conviction and\n\n  12\nSentence was made.", None),
    "pages amid a sentence": ("the order of conviction and\n\n- 12 -\n Page 3 of 17\nsentence was made.", None),
    "page number after a sentence": (
        "It was made.\n\n12\nThe appeal fails.",
        ["It was made.\n\n12", "The appeal fails."],
    ),
    "decimal number": (
        f"{'word ' * 10}\n23.1 In that case he came.",
        [("word " * 10).strip(), "23.1 In that case he came."],
    ),
    "abbreviation at a line's end": (f"{'word ' * 30}under sub-s.\n(1) of s.\n10 of the Act.", None),
    "company at a line's end": (f"{'word ' * 30}of Hind Mills Pvt.\nLtd. at Surat.", None),
    "title at a line's end": (f"{'word ' * 30}said Dr.\nRao.", None),
}


@pytest.mark.parametrize("case", LINES)
def test_line_breaks(case):
    text, expected = LINES[case]
    assert [text[a:b] for a, b in split(text)] == (expected or [text])


def test_one_sentence_per_line_without_full_stops():
    lines = [
        "He served the notice on the tenant of the shop in the main bazaar of the town on the fifth of May 1961"
    ] * 3
    text = "\n".join([*lines, "Appeal allowed", "No costs"])
    assert [text[a:b] for a, b in split(text)] == [*lines, "Appeal allowed", "No costs"]


@pytest.mark.parametrize("unit", [". ", ".", "a", " ", "\n", "\n ", "Ab. C", "The appeal fails. ", "A\n", '."', "1. "])
def test_a_long_line_of_anything_is_split(unit):
    """Detect quadratic time, which would take hours at this length."""
    text = unit * (300_000 // len(unit))
    found = split(text)
    assert sum(end - start for start, end in found) <= len(text)
    assert all(not text[a[1] : b[0]].strip() for a, b in pairwise(found))
