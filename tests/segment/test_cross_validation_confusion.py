"""The confusion matrix as a picture."""

from legalrr.segment.cross_validation import confusion_svg


def test_every_role_and_every_count_is_written_and_the_bytes_repeat():
    gold = ["FAC"] * 7 + ["RPC"] * 3
    found = ["FAC"] * 5 + ["RATIO"] * 2 + ["RPC"] * 3
    svg = confusion_svg(gold, found, title="a tagger")
    assert svg == confusion_svg(gold, found, title="a tagger")
    # The letters are drawn as glyphs; a comment keeps each text readable.
    for text in ("FAC", "RPC", "RATIO", "5", "2", "3", "a tagger"):
        assert f"<!-- {text} -->" in svg
