"""The law reporter's line after a Supreme Court judgment: "V.P.S. Appeal dismissed." """

import re

_LONGEST = 300
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
    end = len(text.rstrip())
    found = _CLOSING.search(text, max(0, end - _LONGEST), end)
    return found.span("line") if found else None
