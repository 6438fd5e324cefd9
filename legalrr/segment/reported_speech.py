"""What is not the court's own: whether a statement is asked, argued, prayed for or told of others."""

import re

from legalrr.segment.verdict_words import pattern

# Words before the match, in its clause, by which it is asked or supposed ...
_ASKED = pattern(
    r"\b(?:whether|(?<!even )if|unless|until|till|in case|in the event|provided that|suppos\w+|(?<!even )assum\w+)\b",
    r"\b(?:when|where)\b[^,]*\Z",
)
# ... or argued, prayed for, thought or told of others.
_TOLD_OF_OTHERS = pattern(
    r"\b(?:pray(?:s|ed|er|ing)?|seek(?:s|ing)?|sought|request\w*|according to|suggest\w*|insist\w*"
    r"|alleg(?:es?|ing|ations?)|alleged (?:by|that))\b",
    r"\b(?:submi(?:t|ts|tted)|conten(?:d|ds|ded|ding)|argu(?:e|es|ed)|urg(?:e|es|ed)|pleaded|claim(?:s|ed))\b",
    r"\b(?:submissions?|contentions?|arguments?|pleas?)\b[^,]{0,80}\bthat\b",
    r"\b(?:(?<!this )court|tribunal|judge|bench|magistrate|commissioner|authority|officer|lordships?|he|she|they"
    r"|it was) (?:\w+ ){0,3}(?:held|observed|ordered|directed|found|concluded|said|stated|thought|noted"
    r"|considered (?:that|it))\b",
    r"\b(?:was|were|had)\b.{0,40}\b(?:held|view|opinion|found|observed|ordered|directed|conclusion)\b",
    r"\b(?:may|might|could|can)\b[^,]{0,25}\Z",
)
# The same within the match: "a petition praying that the notice be quashed".
_WITHIN = pattern(
    r"\b(?:pray|contend|submitt|urg|argu|seek|claim)(?:ed|ing|s)\b(?=.*\bbe\b)|\b(?:came|ordered) to be\b"
    r"|\b(?:it was|court|tribunal|judge) (?:held|observed|found|said)\b|\bsought to be\b"
    r"|\b(?:may|might) (?:(?:kindly|graciously) be|be pleased)\b",
)
# A clause that begins like this is the court's own again.
_TURN = pattern(
    r"[;:]",
    r",? \b(?:but|however|therefore|accordingly|hence|consequently|so)\b",
    r", and\b|, ?(?:we|i)\b|, (?=(?:allow|dismiss)ing\b|this court\b)",
)
_FIRST_PERSON = pattern(r"(?:we|i)\b")


def reported(words: str, match: re.Match[str]) -> bool:
    """Whether a statement is not the court's own.

    Args:
        words: the sentence.
        match: the statement in it.

    Returns:
        True for the end of "It is prayed that the appeal be allowed." and "Whether the appeal must be allowed."; False
        for that of "Counsel urged delay, but the appeal must be allowed.", where the clause is the court's again.
    """
    clause = _TURN.split(words[: match.start()])[-1]
    if _ASKED.search(clause) or _WITHIN.search(match.group()):
        return True
    return _FIRST_PERSON.match(match.group()) is None and _TOLD_OF_OTHERS.search(clause) is not None
