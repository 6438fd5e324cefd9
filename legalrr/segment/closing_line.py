"""The law reporter's line after a Supreme Court judgment: "V.P.S. Appeal dismissed." """

import re

from legalrr.segment.normalised import normalised

_LONGEST = 300
_WITH_MARKUP = 3 * _LONGEST
"""Characters at the end that are looked at; a plain copy of them may be far shorter."""
_CLOSING = re.compile(
    r"""
    (?:\A|(?<=[\s.;:'")\]}]))
    (?P<line>(?=\S)
        (?:[A-Z]{1,2}\.?\s?){0,5}(?:/-?|[-,])?\s{0,40}                        # the reporter's initials
        (?:\b(?:Civil|Criminal|Writ|Special|Leave|Review|Transfer|Cross|Both|All|S\.?L\.?P\.?|W\.?P\.?)[ -]){0,4}
        (?:Appeals?|Petitions?|Applications?|Suits?|Rules?|References?|Cases?|Matters?|Revisions?|Objections?|Orders?)
        (?:\ and\ [A-Z]\w+)?
        (?:\ Nos?\.?[^a-z]{1,60}?(?:\ (?:of|and|to|in)\ [^a-z]{1,40}?){0,4})?
        ,?\s{1,3}(?:(?:partly|in|part|accordingly|made|stands?)\s){0,3}
        (?i:allowed|dis-?\s?miss(?:ed|es)|discharged|remanded|remitted|absolute|disposed|answered|rejected|decreed
          |granted|accordingly|quashed|set\ aside|modified|withdrawn)\b
        [^.]{0,80}\.?["')\]]{0,2}
        (?:\s[^a-z]{0,120})?                                               # a page number, citations of a footnote
    )
    \Z
    """,
    re.VERBOSE,
)


def closing_line(text: str) -> tuple[int, int] | None:
    """Offsets of the law reporter's closing line at the very end of a judgment, from the reporter's initials on.

    Args:
        text: the whole judgment.

    Returns:
        Half-open offsets of "V.P.S. Appeal dismissed." or "Rule discharged.", with the page number or footnotes that
        may follow it; None where the judgment does not end with such a line.
    """
    before = max(0, len(text.rstrip()) - _WITH_MARKUP)
    copy = normalised(text[before:].rstrip())
    end = len(copy.text.rstrip())
    found = _CLOSING.search(copy.text, max(0, end - _LONGEST), end)
    if found is None:
        return None
    start, stop = copy.span(*found.span("line"))
    return before + start, before + stop
