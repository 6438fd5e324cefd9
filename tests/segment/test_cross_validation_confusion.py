"""The figure of the confusion matrix."""

from legalrr.segment.cross_validation import confusion_svg


def test_the_matrix_shows_roles_and_counts_and_is_reproducible():
    gold = ["FAC"] * 7 + ["RPC"] * 3
    predicted = ["FAC"] * 5 + ["RATIO"] * 2 + ["RPC"] * 3
    svg = confusion_svg(gold, predicted, title="a tagger")
    assert svg == confusion_svg(gold, predicted, title="a tagger")
    # Text is drawn as glyphs; a comment contains each string.
    for text in ("FAC", "RPC", "RATIO", "5", "2", "3", "a tagger"):
        assert f"<!-- {text} -->" in svg
