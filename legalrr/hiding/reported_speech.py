"""Detect statements that are not the court's own: asked, quoted, argued, prayed for, or attributed to others.

The last speaker before the statement decides. Counsel's words end at a new clause ("..., but the appeal must be
allowed"). What a lower court or authority held continues to the end of the sentence, unless the court speaks again
("..., but we").
"""

import re
from bisect import bisect_right
from dataclasses import dataclass

from legalrr.hiding.phrases import Phrases
from legalrr.hiding.verdict_phrases import ACTED, BODY, pattern

# Words earlier in the clause that make a statement a question or a supposition.
_ASKED = pattern(
    r"\b(?:whether|(?<!even )if|unless|until|till|in case|in the event|provided that|suppos\w+|(?<!even )assum\w+)\b",
    r"\A\W*(?:was|were|is|are|did|does|do|can|could|should|would) (?:the|it|he|she|they|there|this|that|we|such|not)\b",
    r"\b(?:when|where)\b[^,]*\Z|\bwhy\b",
    r"\b(?:may|might|could|can)\b[^,]{0,25}\Z",
)
# Words that make it an argument or a prayer until the clause ends.
_ARGUED = Phrases(
    r"\b(?:pray(?:s|ed|er|ing)?|seek(?:s|ing)?|sought|request\w*|according to (?!us|me|our)|suggest\w*|insist\w*|relief"
    r"|alleg(?:es?|ing|ations?)|alleged (?:by|that)|assert\w*|apprehen\w+|conceded? that|complain\w* that)\b",
    r"\b(?:submi(?:t|ts|tted|tting)|conten(?:d|ds|ded|ding)|argu(?:e|es|ed|ing)|urg(?:e|es|ed|ing)|plead(?:s|ed|ing)?"
    r"|claim(?:s|ed|ing)? (?:that|to)|claim(?:s|ed)|point(?:s|ed|ing) out|challeng(?:ed|es|ing))\b",
    r"\bto show cause\b|\bagree(?:s|d|ing)? to\b",
)
# An argument with "that": continues until the court speaks again.
_ARGUED_THAT = Phrases(
    r"\baccording to (?!us|me|our)",
    r"\b(?:submi(?:t|ts|tted|tting)|conten(?:d|ds|ded|ding)|argu(?:e|es|ed|ing)|urg(?:e|es|ed|ing)|plead(?:s|ed|ing)?"
    r"|claim(?:s|ed|ing)?|alleg(?:es?|ed|ing)|point(?:s|ed|ing) out|aggrieved|averr\w*|stat(?:es|ed|ing)|admitted"
    r"|deposed|disclosed|informed"
    r"|testified|replied|represented|understood|believed|thinking|said|references?|reports?|recommendations?"
    r"|complaints?|notices?|letters?"
    r"|petitions?|applications?|affidavits?|statements?|attempts?|efforts?|declarations?|suggest\w*|demand\w*"
    r"|propositions?)\b[^,;]{0,60}\bthat\b",
)
_ARGUMENT_THAT = pattern(
    r"\b(?:contentions?|arguments?|submissions?|claims?|allegations?|pleas?|reason|case|ground)\b[^,;]{0,80}\bthat\b",
)
# A list of contested points.
_LISTED = Phrases(
    r"\b(?:contentions?|submissions?|arguments?|grounds?|points?|questions?|reliefs?"
    r"|prayers?)\b[^;]{0,200}?(?:\bi\.e\.|\bviz\b|\bnamely\b|\(1\)|\(a\)"
    r"|\(i\)|:)",
    r"\b(?:points?|grievances?|questions?|objections?|issues?|pleas?|controversy|matters?"
    r"|challenges?)\b[^;.]{0,120}\b(?:is|was|are|were|raised|urged|taken|arises?)\b"
    r"[^;.]{0,60}\b(?:that|whether|what|how)\b",
    r"\b(?:submissions?|contentions?|arguments?|case|pleas?|stand|claims?|criticisms?"
    r"|objections?)\b[^;.]{0,200}?\b(?:is|was|are|were|being),? that\b",
    r"\b(?:views?|findings?|decisions?|opinions?|conclusions?)\b[^;.]{0,80}\bwas,? that\b",
    r"\b(?:common ground|not (?:in dispute|disputed)|undisputed|admitted(?:ly)?|averred|conceded|deposed)\b",
)
# A statement attributed to a lower court or authority, another case, or a statute.
_HELD_BY_OTHERS = Phrases(
    rf"\b{BODY}\b[^;\"“]{{0,70}}?\b(?<!be )(?:held|holding|observed|observing|ordered|directed|directing|found"
    rf"|finding|concluded|said"
    r"|stated|stating|thought|noted|opined|ruled|remarked|expressed|felt|hold|holds|saw|agreed|concurred|disagreed"
    r"|differed|demanded|did not (?:find|agree|accept|consider|think|see)|finds|recommended|considered (?:that|it)"
    r"|declared|decided|recorded"
    r"|satisfied|reversed|upheld|affirmed|took|taken|formed|came to|com(?:e|ing) to|reached|(?:was"
    r"|were),? (?:\w+,? )?of the|purported"
    rf"|declined|refused|answer(?:ed|ing)|repelled|negatived|{ACTED})\b",
    rf"\b{BODY}\b[^;\"“]{{0,30}}\b(?:was|were) (?:not )?(?:inclined|convinced|persuaded|satisfied|impressed)\b",
    r"\b(?:petitioners?|respondents?|appellants?|plaintiffs?|defendants?|counsel|company|police|prosecution"
    r"|witness(?:es)?|accused|owners?) (?:\w+ ){0,3}?"
    r"(?:stated|said|thought|(?:did|does|do) not think|believed|claimed|replied|requested|admitted|contends?"
    r"|complain(?:s|ed)|swore)\b|\bcomplains\b",
    r"\bthis court (?:\w+ )?(?:allowed|dismissed|remitted|remanded|set aside|granted|came)\b|\bbecame necessary\b",
    r"\bon the facts of that case\b|\bin that case\b.{0,20}\bthis court\b",
    r"(?<!be )(?<!to )(?<!we )(?<!we have )(?<!we had )(?<!i )(?<!now )(?<!this court )\b(?:held|holding|observed"
    r"|observing|found|finding|ruled|opined|declared|considered"
    r"|concluded|directing|stating|saying|ordered|noticed)\b,? that\b",
    r"\b(?:was|were|had|has been|have been|being)\b[^,;]{0,40}\b(?:held|view|opinion|found|observed|ordered|directed"
    r"|conclusion"
    r"|declared|decided|answered)\b",
    r"\b(?:on the (?:grounds?|footing|view|basis)|for the reason|with a direction|with the direction|to the effect"
    r"|(?<!of )the view|(?<!of )the opinion"
    r"|(?<!to )the conclusion|the finding) that\b",
    r"\bin the (?:opinion|view|words|judgment) of\b",
    r"(?<!we )(?<!we have )(?<!we had )(?<!i )(?<!be )(?<!is )(?<!are )(?<!accordingly )\b(?:answered"
    r"|decided) (?:this|the|both|all|that)\b|\bon (?:the )?condition that\b",
    r"\b(?:was|were)\b[^,;]{0,40}\b(?:remanded|remitted|sent back)\b",
    r"\b(?:wherein|in which|in whose|by which|whereby|under which)\b",
    r"\b(?:reads?|provides?|runs?|lays? down|laid down|states?|stated|enacts?|prescribes?|recites?|requires?|says"
    r"|enacted"
    r"|provided|stipulat\w+|contemplates?|empowers?)(?: (?:as (?:follows|under)|thus|that|in these terms|inter alia))",
    r"\b(?:sub-?section|section|article|clause|rule|proviso|order|act|notification|agreement|deed|letter|resolution"
    r"|circular)"
    r"\b[^,;]{0,40}\b(?:provid\w+|requir\w+|says|lays|reads|states|stated|directed|directs)\b",
    r"\Aprovided\b|\bappeals?\b[^.;]{0,80}\b(?:against|from|directed against)\b[^.;]{0,80}\b(?:judge?ment|order"
    r"|decision|decree)s?\b",
    r"\b(?:appeal|petition|application|suit|complaint|writ|motion|review|revision|reference)\b[^.;]{0,60}\b(?:filed"
    r"|preferred"
    r"|moved|presented|instituted|brought|praying|asking|for|seeking)\b[^.;]{0,60}\b(?:that|for|to)\b",
)
_BODY_WITHIN = pattern(
    rf"(?<!this )\b{BODY} (?:\w+ ){{0,2}}(?:held|observed|found|answered|allowed|dismissed|set aside|ordered)\b",
)
# General statements of what courts do, and a party continuing to speak.
_GENERAL = pattern(
    # A party continues, or the outcome of an earlier matter is reported.
    r"\b(?:also|further) (?:\w+ )?(?:contended|submitted|argued|urged)\b|\bcomplains\b",
    r"\b(?:appeal|petition|suit|revision|application)s? (?:was|were) (?:therefore |accordingly )?(?:dismissed"
    r"|allowed|rejected|decreed)\b",
    r"\b(?:ordinarily|normally|generally|usually|as a rule)\b|\bwill not interfere\b.{0,60}\bunless\b",
)
# A narrower set of reports, for passages in which the court reasons.
_REPORTED_REASONS = pattern(
    r"\b(?:pray(?:s|ed|er|ing)?|seek(?:s|ing)?|sought|request\w*|according to|suggest\w*|insist\w*|alleg(?:es?|ing"
    r"|ations?))\b",
    r"\b(?:submi(?:t|ts|tted)|conten(?:d|ds|ded|ding)|argu(?:e|es|ed)|urg(?:e|es|ed)|pleaded|claim(?:s|ed))\b",
    r"\b(?:submissions?|contentions?|arguments?|pleas?)\b[^,]{0,80}\bthat\b",
    r"\b(?:(?<!this )court|tribunal|judge|bench|magistrate|commissioner|authority|officer|lordships?|he|she|they"
    r"|it was) (?:\w+ ){0,3}"
    r"(?:held|observed|ordered|directed|found|concluded|said|stated|thought|noted|considered (?:that|it))\b",
    r"\b(?:was|were|had)\b.{0,40}\b(?:held|view|opinion|found|observed|ordered|directed|conclusion)\b",
)
# Reports within the match: "a petition praying that the notice be quashed".
_REPORTED_WITHIN = pattern(
    r"\b(?:pray|contend|submitt|urg|argu|seek|claim)(?:ed|ing|s)\b(?=.*\bbe\b)|\b(?:came|ordered) to be\b"
    r"|\b(?:it was|court|tribunal|judge) (?:held|observed|found|said)\b|\bsought to be\b"
    r"|\b(?:may|might) (?:(?:kindly|graciously) be|be pleased)\b",
)
_OWN_WORDS = re.compile(r"\b(?:[Ww]e|I(?!\.)|[Oo]ur|[Mm]y)\b")
# "He stated: I am satisfied"
_DIRECT_SPEECH = pattern(
    r"\b(?:stat(?:ed|es|ing)|observ(?:ed|es|ing)|said|says|saying|held|wrote|written|remarked|concluded|order(?:ed)?"
    r"|follow(?:s|ing)|under|thus|words|terms|put it|warning|criterion|page \d+|p\.? ?\d+|pp\.? ?\d+"
    r"|in these words) ?(?:by \w+ |the )?:[\- ]*(?:[\"“'\d(]+ ?)*[^.:]{0,120}\Z"
)
# "He urged that we should modify the question."
_URGED_ON_US = pattern(
    r"\b(?:urged|submit(?:s|ted)|contend(?:s|ed)|argued|prayed|requested|suggest(?:s|ed)|asked|pressed|want(?:s"
    r"|ed))\b[^.;]{0,80}(?:\bthat\b[^.;]{0,200})?\Z"
)
_SHOULD = pattern(r"\b(?:should|must|ought|may|might|to)\b")
# Attribution after the statement: "the order, it was urged, cannot stand".
_ATTRIBUTED_AFTER = pattern(
    rf"\A[^.;]*?, ?(?:it (?:was|is|has been)|he|she|they|(?:learned )?counsel|mr\.? \w+"
    rf"|the (?:\w+ )?{BODY})\b[^,.;]{{0,30}}"
    r"\b(?:urged|contend(?:ed|s)|submit(?:ted|s)|argued|said|pointed out|held|observed|stated|pleaded|alleged"
    r"|claimed|thought)\b",
)
# Starts of a clause that is the court's own again.
_NEW_CLAUSE = pattern(
    r";",
    r",? \b(?:but|however|therefore|accordingly|hence|consequently|so)\b",
    r", and\b|, ?(?:we|i)\b|, (?=(?:allow|dismiss)ing\b|this court\b)",
)
# Starts of the court's own words after an extended argument.
_ARGUMENT_ENDS = pattern(r"; (?!\(?\w{1,3}\))|, but\b|\bhowever\b")
# Starts of the court's own words after the holding of a lower court.
_COURT_RESUMES = pattern(
    r"[,;] ?\b(?:but|however|yet|and)\b (?=this|we|i\b|in our|in my)|\b(?:we|i)\b(?!\.)|\b(?:in|to) (?:our|my)\b",
    r"(?:[,;]| and) ?(?:this court|it is clear|there is no doubt|the answer)\b",
)
_FIRST_PERSON = pattern(
    r"(?:(?:and|,) )?(?:we|i|our|my)\b",
    r"as (?:has been |was )?(?:rightly|correctly)\b",
    r"and,? (?:\w+ ){0,2}(?:rightly|wrongly|correctly)\b",
    r"(?:in|to) (?:our|my)\b",
    r".{0,80}\b(?:to|strikes|satisf\w+|convinc\w+) (?:us|me)\b",
)
_CONTEXT_WINDOW = 500
"""Characters before a sentence that are searched for its speaker."""
_PARTY_SPEAKS = Phrases(
    r"\b(?:submi(?:ts|tted|ssions?)|conten(?:ds|ded|ding|tions?)|argu(?:es|ed)|urg(?:es|ed)|pleaded|averr\w+"
    r"|asserted|claimed|aggrieved|grounds?|grievances?"
    r"|according to the (?:appellants?|petitioners?|respondents?|plaintiffs?|defendants?|prosecution|revenue"
    r"|assessee)|written statement)\b",
    # Consecutive grounds of an appeal.
    r"\b(?:ld\.?|learned) (?:\w+ )?(?:judge|court|magistrate)\b[^.]{0,40}\b(?:erred|wrongly|failed|committed)\b",
)
_COURT_SPEAKS = Phrases(
    r"\b(?:we|our)\b(?! have heard)",
    r"\b(?:in my|i) (?:opinion|view|judgment|find|hold|think)\b",
    r"\bthis court\b.{0,20}\b(?:finds|holds|is of)\b",
)
_MAX_QUOTATION = 2000
"""Longest quotation, in characters; a longer one is ignored as an OCR error (lost quotation mark)."""
_MARK = re.compile(r"[\"“”]|(?<![a-z])''|``|''(?![a-z])")


def is_reported(
    words: str, match: re.Match[str], *, own_subject: bool = False, argument: bool = False, reasoned: bool = False
) -> bool:
    """Return whether a statement is not the court's own.

    Args:
        words: the sentence.
        match: the statement in it.
        own_subject: whether the statement starts with its subject, as views do ("The High Court was right").
        argument: whether it is about an argument ("The contention that ... fails").
        reasoned: whether it is in a passage in which the court reasons. There, sentences are the court's own and only
            the clause is checked.

    Returns:
        True for "It is prayed that the appeal be allowed." and "Whether the appeal must be allowed."; False for
        "Counsel urged delay, but the appeal must be allowed.", where the last clause is the court's again.
    """
    before = words[: match.start()]
    clause = _NEW_CLAUSE.split(before)[-1]
    own = _FIRST_PERSON.match(match.group()) is not None
    if own:
        clause = clause.split(", then")[-1]
    if (
        _ASKED.search(clause)
        or _REPORTED_WITHIN.search(match.group())
        or (not own_subject and _BODY_WITHIN.search(match.group()))
        or (not own and words.rstrip(" \"'”)").endswith("?"))
    ):
        return True
    if reasoned:
        return not own and _REPORTED_REASONS.search(clause) is not None
    if not own and _GENERAL.search(words):
        return True
    if Quotations.of(words + '"').inside(match.start()):
        return True
    if own:
        if _DIRECT_SPEECH.search(before) and not _OWN_WORDS.search(before):
            return True
        return _URGED_ON_US.search(before) is not None and _SHOULD.search(words[match.start() :][:40]) is not None
    if _ARGUED.search(clause) or _ATTRIBUTED_AFTER.search(words[match.start() :]):
        return True
    # A report may start before the statement and end in it: "He, however, declined to interfere".
    context = words[: match.start() if own_subject else match.end()]
    others = [
        found.end() if kind is _LISTED else found.start()
        for kind in (_HELD_BY_OTHERS, _ARGUED_THAT, _LISTED, *(() if argument else (_ARGUMENT_THAT,)))
        for found in kind.finditer(context)
        if found.start() < match.start()
        and not (kind is not _HELD_BY_OTHERS and _ARGUMENT_ENDS.search(before[found.end() :]))
    ]
    court = max((found.start() for found in _COURT_RESUMES.finditer(before)), default=-1)
    return max(others, default=-1) > court


def continues_argument(text: str, at: int) -> bool:
    """Return whether a party is the last speaker before `at`, so that the sentence there continues its argument."""
    context = text[max(0, at - _CONTEXT_WINDOW) : at]
    party = max((found.end() for found in _PARTY_SPEAKS.finditer(context)), default=-1)
    court = max((found.end() for found in _COURT_SPEAKS.finditer(context)), default=-1)
    return party > court


@dataclass(frozen=True)
class Quotations:
    """Quotations of a text, delimited by double quotation marks."""

    starts: tuple[int, ...]
    """Offsets of the opening marks."""
    ends: tuple[int, ...]
    """Offsets of the corresponding closing marks."""

    @classmethod
    def of(cls, text: str) -> "Quotations":
        """Find the quotations of a text.

        A mark before a word opens, a mark after a word closes, and any other mark toggles. A quotation of several
        paragraphs that each start with a mark is one quotation.
        """
        starts: list[int] = []
        ends: list[int] = []
        at: int | None = None
        for mark in _MARK.finditer(text):
            before, after = text[mark.start() - 1 : mark.start()], text[mark.end() : mark.end() + 1]
            free_before = not before or before.isspace() or before in "([:,-"
            free_after = not after or after.isspace() or after in ".,;:)]?!"
            opens = mark.group() in ("“", "``") or (free_before and not free_after)
            closes = mark.group() == "”" or (free_after and not free_before)
            if at is None or (opens and before != "\n"):
                at = None if closes else mark.start()
            elif not opens:
                if mark.start() - at < _MAX_QUOTATION:
                    starts.append(at)
                    ends.append(mark.start())
                at = None
        return cls(starts=tuple(starts), ends=tuple(ends))

    @staticmethod
    def closes(sentence: str) -> bool:
        """Return whether a sentence ends a quotation that started before it."""
        return sentence.endswith(('"', "”")) and not _MARK.search(sentence[:-1])

    def inside(self, at: int) -> bool:
        """Return whether the character at offset `at` is quoted."""
        last = bisect_right(self.starts, at) - 1
        return last >= 0 and at < self.ends[last]
