"""Normalize an answer to plain text, and define the patterns that identify the answering YES or NO.

The plain text has no markup, special tokens or invisible characters, and each of its characters maps back to the
answer. Letters are in compatibility form (NFKC: full-width ones become plain); tags, LaTeX and special tokens are
removed. Markup that names an answer (`\\boxed{}`, `<answer>`, box tokens) becomes `final answer:`.

`legalrr.answer_word` uses the patterns to distinguish a YES or NO that answers from any other. Patterns that end in
`\\Z` are searched in the text before a word; the others are matched at its end.
"""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

NAMED = "\nfinal answer: "
"""Replacement for markup that names the answer."""
USER, ASSISTANT = "\ue000", "\ue001"
"""Markers for the start of a turn of the user, or of the model; private-use characters that no answer contains."""

_ANSWER_TAG = r"(?:final[_ -]?)?(?:answer|verdict|prediction|decision|conclusion|output|response|result|solution|label)"
_BAR = r"[|\uff5c]"
_PIECES = {
    USER: r"<\|im_start\|>\s*(?:user|system|tool)\b|<\|start_header_id\|>\s*(?:user|system)\s*<\|end_header_id\|>"
    rf"|<start_of_turn>\s*user\b|<\|start\|>\s*(?:user|system)\b|<{_BAR}(?:user|system){_BAR}>|\[INST\]|<<SYS>>",
    ASSISTANT: r"<\|(?:im_end|eot_id|endoftext|end_of_text|end|return)\|>|</s>|<(?:eos|end_of_turn)>"
    rf"|<{_BAR}end\u2581of\u2581sentence{_BAR}>"
    r"|<\|im_start\|>\s*(?:assistant|model)\b|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>"
    rf"|<start_of_turn>\s*model\b|<\|start\|>\s*assistant\b|<{_BAR}assistant{_BAR}>|\[/INST\]",
    NAMED: rf"<\s*{_ANSWER_TAG}\s*>|<\|(?:begin_of_box|begin_of_solution|START_RESPONSE)\|>|\[BEGIN FINAL RESPONSE\]"
    r"|\\+(?:boxed|fbox|framebox)\s*\{",
    "": r"(?<!\w)/(?:no_?)?think\b|~~[^~\n]*~~|<(?P<gone>del|strike)>.*?</(?P=gone)>",
    "\n": rf"<{_BAR}[^<>|\uff5c\n]{{1,40}}{_BAR}>|<(?:s|bos|start_of_turn)>|\[END FINAL RESPONSE\]"
    r"|<</SYS>>|\\n(?=\\|(?-i:[A-Z])|\W|\Z)|<!--.*?-->",
    "*": r"</?(?:b|i|u|em|strong|span|font|mark|small|big|code|tt|kbd|sup|sub|ins)(?:\s[^<>\n]*)?/?>"
    r"|\\+(?:text|math|mathbb|emph|underline|bf|rm|it)(?:bf|rm|it|tt|sf|sc|up|normal)?\b\s*\{?|(?<![^\W_])_+|_+(?![^\W_])",
    # Any other tag, but `<YES>`.
    "\n\n": r"</?(?!(?:yes|no)\b)[a-z][\w:.-]*(?:\s[^<>\n]*)?/?>",
    " ": r"\\+(?:quad|qquad|,|;|!)|_",
}
_PATTERN = re.compile(
    "|".join(f"(?P<p{number}>{piece})" for number, piece in enumerate(_PIECES.values()))
    + r"|(?P<entity>&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});)",
    re.IGNORECASE | re.DOTALL,
)
# NFKC would make "No" of the numero sign, and full stops of dots that lead on.
_KEPT = {"\u2116": "#", "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00b4": "'"}


@dataclass(frozen=True, kw_only=True)
class PlainText:
    """Plain copy of a text."""

    text: str
    """The copy."""
    places: tuple[tuple[int, int], ...]
    """Offsets in the original of the source of each character of the copy."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the offsets in the original of a non-empty span of the copy."""
        return self.places[start][0], self.places[end - 1][1]


def plain_text(text: str, kept: Iterable[tuple[int, int]]) -> PlainText:
    """Return the plain copy of the spans `kept` of a text, each starting on a new line."""
    letters: list[str] = []
    places: list[tuple[int, int]] = []
    for start, end in kept:
        for piece, place in (
            [("\n", (start, start)), *_pieces(text, start, end)] if letters else _pieces(text, start, end)
        ):
            letters.append(piece)
            places += [place] * len(piece)
    return PlainText(text="".join(letters), places=tuple(places))


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[str, tuple[int, int]]]:
    at = start
    stands = list(_PIECES)
    for match in _PATTERN.finditer(text, start, end):
        yield from _characters(text, at, match.start())
        if match["entity"]:
            known = html.unescape(match[0])
            yield "".join(map(_letter, known)), match.span()
        else:
            number = next(number for number in range(len(stands)) if match[f"p{number}"] is not None)
            yield stands[number], match.span()
        at = match.end()
    yield from _characters(text, at, end)


def _characters(text: str, start: int, end: int) -> Iterator[tuple[str, tuple[int, int]]]:
    for at in range(start, end):
        letter = _letter(text[at])
        if letter:
            yield letter, (at, at + 1)


def _letter(letter: str) -> str:
    """Normalize a character; "" for an invisible one."""
    if letter.isascii():
        return letter
    if letter in _KEPT:
        return _KEPT[letter]
    if unicodedata.category(letter) in ("Cf", "Co", "Cs") or "\ufe00" <= letter <= "\ufe0f":
        return ""
    return unicodedata.normalize("NFKC", letter)


# `re` does not count vowel signs of Hindi as letters; the danda ends a sentence and is excluded.
L = r"\w\u0900-\u0963\u0966-\u097f"
YES, NO = r"yes|हाँ|हां", r"no|नहीं"
CLAUSE = (
    r"(?:the|it|this|that|these|those|there|here|i|we|he|she|they|you|my|our|his|its|their|a|an|because"
    r"|since|as|for|in|on"
    r"|under|by|from|to|with|at|after|although|though|while|but|and|or|if|unless|given|considering|based|according"
    r"|however|neither|nothing|not|only|so|is|was|would|will|sir|yes|no|rather|otherwise|else"
    r"|wait|hmm+|actually)"
)
WORD = re.compile(
    rf"(?<![{L}])(?<!\w')(?:(?<!\w-)|(?<=answer-))(?:(?P<yes>{YES})"
    rf"|(?P<no>{NO}))(?![{L}])(?!'\w)(?!-(?!{CLAUSE}\b)\w)",
    re.IGNORECASE,
)
"""A YES or NO as a word of its own; groups `yes`, `no`."""
GLUED = re.compile(r"(?:(?P<yes>YES|Yes)|(?P<no>NO|No))(?=(?!Yes\b|No\b)[A-Z][a-z]+\b)")
"""An answer without a space before the next word, as in "YESThe appeal"."""
SPACED = re.compile(r"\W*(?:(?P<yes>y[ .-]e[ .-]s)|(?P<no>n[ .-]o))\W*", re.IGNORECASE)
"""An answer of separated letters ("Y-E-S")."""
CLOSERS = r"[*`\"'\])}$~>]*"
NUMBER = re.compile(
    r"[.:#]?[^\S\n]*[#:-]?[^\S\n]*(?!1[.)]\s.*\b2[.)]\s)(?!\d+\))(?:\(\s*\d+\s*\)"
    r"|[a-z]{0,4}[-/.]?\d(?![\d.]*\s*%)|[a-z]{1,4}[-/]\w{0,4}[-/]?\d|(?-i:[IVXLC]{2,6}\b))",
    re.IGNORECASE | re.DOTALL,
)
"""After "No.": what makes it a number: digits, "P-5", "(5)", "VII"; not the items of a list."""
NUMBERED = re.compile(
    r"(?:\b(?:appeal|petition|application|revision|suit|case|exhibits?|exh?|section|respondent|appellant|petitioner"
    r"|accused|plaintiff|defendant|witness|writ|order|act|notification|item|para|paragraph|page|schedule"
    r"|sr|sl|serial|survey"
    r"|plot|house|door|registration|document|account|cheque|bill|invoice|letter|memo|f\.?i\.?r|crl|civil"
    r"|criminal|misc|ref"
    r"|reference|crime|issue|question|ground|point)s?\.?|\b(?:[a-z]\.){2,})[^\S\n]+\Z",
    re.IGNORECASE,
)
"""Before "No.": a noun that is numbered."""
FOLLOWED = re.compile(rf"(?P<closers>{CLOSERS})(?:[^\S\n]+[\"'*`]*(?P<word>[{L}]+)(?P<colon>:)?(?P<hyphen>-\w)?)?")
"""The next word on the line; groups `closers`, `word`, `colon`, `hyphen`."""
CLAUSE_WORD = re.compile(CLAUSE, re.IGNORECASE)
"""Words before which "no" is an interjection, not a determiner."""
NOUN = (
    r"(?:answers?|ans|verdict|prediction|conclusion|decision|outcome|output|result|response|reply"
    r"|judge?ment|ruling|holding|finding"
    r"|determination|opinion|view|choice|vote|assessment|guess|label|assistant|model|judge)"
)
BEFORE = (
    r"(?:the|my|our|a|an|your|final|ultimate|short|brief|one[ -]word|single[ -]word|direct|overall|correct"
    r"|right|best|predicted|legal|likely"
    r"|most|and|so|here is|here's|this is|expected|court's)"
)
ADVERB = (
    r"(?:therefore|thus|then|hence|clearly|simply|likely|most likely|very likely|probably|definitely"
    r"|certainly|plainly|undoubtedly|no doubt"
    r"|in my (?:view|opinion|judge?ment)|in short|an?|clear|firm|definite|definitive|resounding|simple"
    r"|strong|qualified|indeed|still|just|only|that)"
)
TO = r"(?:\s+(?:to (?:this|the|your|that) (?:question|query|above)|here|in this (?:case|matter|appeal|instance)))?"
LINK = (
    rf"[\s\"'*`)\]]*(?:[:=\u2192>\u2013\u2014-]+|(?:,\s*)?(?:{ADVERB}\s*,?\s*)*(?:is|'s|would be|will be"
    rf"|must be|should be|has to be|shall be|remains)\b)"
)
OPTION = r"(?:option\s+[a-d1-4]\b[).:]?|\(?\b[a-d1-4][).:\]])"
GLUE = rf"[\s,:]*(?:{ADVERB}\b[\s,:]*)*[\s\"'*`(\[{{$<>#~|-]*(?:{OPTION}[\s\"'*`(\[{{$-]*)?\Z"
FINAL = re.compile(rf"\b(?:final|ultimate)\s+{NOUN}\b{TO}{LINK}{GLUE}", re.IGNORECASE)
"""Label of a final answer, or of a box."""
LABEL = re.compile(
    rf"(?<!'s )(?<!his )(?<!her )(?<!their )(?<!its )(?<!' )\b{NOUN}\b{TO}{LINK}{GLUE}"
    rf"|\bcourt's\s+{NOUN}\b{TO}{LINK}{GLUE}",
    re.IGNORECASE,
)
"""A label: "Answer:", "the verdict is"; not "the respondent's answer"."""
STATED = re.compile(
    r"\bI(?:'d|'ll| would have to| am inclined to| would| will| must| should| have to| can| can only| do| am going to"
    r"| shall)?(?: (?:therefore|thus|hence|also))?"
    r" (?:say|answer|predict|conclude|choose|vote|go with|respond|reply|pick|select|think|believe|state"
    r"|lean(?: towards?)?|opt for|hold)\b"
    rf"(?:\s*[,:]?\s*(?:that|with|for|in|the answer is|it is|is)\b)*{GLUE}"
    r"|\b(?:so|therefore|thus|hence|consequently|accordingly|overall|in (?:short|sum|conclusion|summary)"
    r"|ultimately|to conclude|finally"
    rf"|on balance|in my (?:view|opinion|judge?ment))\b[\s,:;\u2014\u2013-]+[\s\"'*`(\[-]*\Z"
    rf"|\b(?:it|that|this)(?:'s| is| would be| will be) (?:{ADVERB}\s+)*[\s\"'*`]*\Z",
    re.IGNORECASE,
)
"""Statement of the writer: "I would say", "so,", "it is a"."""
TOPIC = (
    r"(?:appeals?|petitions?|case|suit|favou?r|appellants?|petitioners?|plaintiffs?|question|decided|allowed"
    r"|succe\w+)"
)
COLON = re.compile(rf"(?:\A|\n)[^\n]*\b{TOPIC}\b[^\n]*[:\u2014\u2013]\s*[\"'*`(\[]*\Z", re.IGNORECASE)
"""Line about the case that ends in a colon."""
LOST = r"(?:dismiss\w*|reject\w*|against|fail\w*|respondents?|defendants?|los[te]s?)"
AGAINST = re.compile(rf"\b{LOST}\b[^\n.,;]{{0,60}}(?:[:=\u2014\u2013]|\s-\s)\s*[\"'*`(\[]*\Z", re.IGNORECASE)
"""Label that says that the case was lost, as in "Dismissed: "."""
COMMA = re.compile(r"(?:[,\u2014\u2013:]|\s-\s)\s*[\"'*`(\[]*\Z")
"""End of a clause, after which a final word answers."""
QUESTION = re.compile(r"\b(?:unable|not able|cannot|can't)\b[^.!?\n]*\Z|\?[\"'*)\]]*\s+[^.!?\n]*\Z")
"""Sentence after a question, or one that refuses."""
LINE_END = re.compile(r"[\s.!*`\"'\])}$~>|#-]*(?:\n|\Z)")
"""No further word on the line."""
END = re.compile(rf"[^{L}]*\Z")
"""No further word in the text."""
DENIAL = (
    r"(?:\bnot|n't|\bcannot|\bnever|\bneither|\bnor|\bwithout|\bhardly|\brather than|\binstead of"
    r"|\bno longer|\bunable|\bimpossible|\bdifficult|\bhard"
    r"|\bpremature|\brefuse|\bdecline)\b"
)
STOP = r"(?:so|therefore|hence|thus|because|but|and)"
SAID = (
    r"(?:said|replied|answered|deposed|told|says?|stated|stating|saying|shouted|uttered|held|ticked|marked"
    r"|circled|wrote|written)"
)
QUOTED = r"[\"'*`(\[]*"
NO_ANSWER_AFTER = re.compile(
    rf"{DENIAL}(?:[^\S\n]+{QUOTED}(?!{STOP}\b)[\w'-]+[\"'*`)\]]*){{0,8}}[^\S\n]+{QUOTED}\Z"
    r"|\bno\s+(?:clear|simple|definite|definitive|straightforward|easy|plain"
    r"|unqualified)(?:\s+or\s+\w+)?\s+[\"'*`]*\Z"
    rf"|\b(?:perhaps|maybe|possibly|whether|(?:could|might|may) (?:well )?be|(?:asked|told|instructed"
    rf"|required|requested) to [^.\n]*)(?:\s+(?:a|an|it is|the answer is))?[\s,]*{QUOTED}\Z"
    rf"|(?<!\bi )(?<!\bi've )(?<!\bi'd )(?<!\bto )(?<!\bwould )(?<!\bwill )"
    rf"(?<!\bmust )(?<!\bcan )\b{SAID}\b[\s,:]*[\"'*`(\[]*\Z"
    r"|\b(?:words?|term|option|token)[\s,]*[\"'*`(\[]*\Z"
    r"|(?:\A|[.!?\n])\s*(?:please\s+)?(?:answer|reply|respond|output|write|say|return|choose|select|state|give)\s+"
    r"(?:with|in|by|using|only|either|just)\b[^:.\n]*\Z",
    re.IGNORECASE,
)
"""Negation, doubt, reported speech or instruction before the word."""
NO_ANSWER_BEFORE = re.compile(
    rf"{CLOSERS}\s*\?|[*`]*[\"'][*`,]*\s*{SAID}\b|{CLOSERS}\s+(?:if|when|in case)\b"
    rf"|{CLOSERS},?\s+otherwise\b|{CLOSERS}\s*(?:=|means?\b|denotes?\b|stands for\b)",
    re.IGNORECASE,
)
"""After the word: a question, a condition or reported speech."""
REPORTED = re.compile(rf"[*`]*[\"'][*`,]*\s*{SAID}\b", re.IGNORECASE)
"""Closing quotation mark and a verb of speech."""
DISOWNED = re.compile(
    rf"{CLOSERS}\s+(?:(?:is|are|was|would be|will be|could be|might be|may be|seems|appears|can|does"
    rf"|do)(?:n't|\s*not)"
    r"|(?:is|would be|seems|appears)\s+(?:wrong|incorrect|premature|inappropriate|unsafe|misleading|too\b)"
    r"|cannot|means|denotes|stands for)\b",
    re.IGNORECASE,
)
"""Predicate about the word itself: that it is wrong, or its meaning."""
POLITE = re.compile(
    r"[\s,]*I(?: (?:do |fully )?understand\b| have read\b| am (?:ready|here)\b|'m (?:ready|here)\b"
    r"|(?:'ll| can| will| would be (?:happy|glad) to| am able to|'d be (?:happy|glad) to) (?:\w+ )?(?:help"
    r"|assist|answer|review|read|do that)\b)",
    re.IGNORECASE,
)
"""Courtesy that starts with YES."""
REFUSAL = re.compile(
    r"[\s,]*(?:(?:but )?sorry\b|I(?:'m| am) (?:sorry|afraid)\b|as an AI\b|I(?: cannot| can't| can not"
    r"|'m (?:unable|not able) to| am (?:unable|not able) to"
    r"| won't| will not)\s+(?:\w+\s+)?(?:answer|predict|provide|give|help|assist|offer|determine|comment"
    r"|advise|respond)\b)",
    re.IGNORECASE,
)
"""Refusal that starts with NO."""
JOIN = r"(?:or|(?<=\w)-(?=\w)|/|\\|\||vs\.?|versus|nor)"
PAIR = re.compile(
    rf"\b(?P<a>{YES}|{NO})\b[\s\"'*`)\],.?-]*(?:{JOIN}|(?P<and>and|&|\+"
    rf"|(?<=,)))[\s\"'*`(\[-]*(?:an?\s+)?\b(?P<b>{YES}|{NO})\b",
    re.IGNORECASE,
)
"""Both words next to each other; groups `a`, `b`, and `and` if this may be a coincidence."""
CASE = re.compile(rf"{CLOSERS},?\s*(?:if|when|in case|otherwise|=|means?|denotes?|stands for)(?!\w)", re.IGNORECASE)
"""After the word: a condition or meaning that makes it one of two cases."""
BOX = re.compile(
    r"(?P<on>\[\s*[xX\u2713\u2714]\s*\]|\(\s*[xX\u2713\u2714]\s*\)|[\u2611\u2612\u2705\u25c9\u25cf])"
    r"|(?P<off>\[\s*\]|\(\s*\)|[\u2610\u25cb])"
)
"""Tick box; groups `on`, `off`."""
FILLER = (
    r"(?:sure|okay|ok|certainly|of course|well|hmm+|right|alright|so|therefore|thus|hence|then|accordingly"
    r"|consequently|in conclusion"
    r"|in short|in summary|overall|to conclude|finally|ultimately|in my (?:view|opinion|judge?ment)"
    r"|on balance|i think|i believe|i predict|i would say|i'd say|i say|i would answer"
    r"|i answer|it is|it's|probably|likely|most likely|clearly|undoubtedly|definitely|absolutely|simply"
    r"|plainly|understood|thank you|thanks|json|text)"
)
LEAD = re.compile(
    rf"(?:{OPTION}\s*|[^{L}]+|(?:{BEFORE}\s+)*{NOUN}\b{TO}(?:{LINK})?(?:[\s,:*]*{ADVERB}\b)*"
    rf"|{FILLER}\b|जी"
    rf"|(?:please\s+)?(?:answer|reply|respond|output)\s+(?:with|in|by|using|only|either|just)\b[^:.\n]*[:.\n]"
    rf"|(?![^?\n]*\b(?:respondents?|defendants?|dismissed|rejected)\b)[^?!\n]{{0,400}}\b{TOPIC}\b[^?!\n]{{0,200}}\?)",
    re.IGNORECASE,
)
"""Text allowed before a leading answer."""
AGAIN = re.compile(
    rf"(?:[^{L}]|\b(?:and|but|or|also|then|yet|well|maybe|perhaps|both|equally|rather|wait|actually|hmm+"
    rf"|i mean|sorry|correction|make that"
    r"|scratch that|on (?:second thoughts?|reflection)|in fact|the answer is|it is|it's|at the same time)\b)*",
    re.IGNORECASE,
)
"""Text allowed between an answer and an opposite that follows at once."""
RETRACTED = re.compile(rf"{AGAIN.pattern}(?<![{L}])(?:{YES})(?![{L}])", re.IGNORECASE)
"""A YES that follows a "no" at once, so that the "no" answers: "no wait, yes"."""
NEXT_OPTION = re.compile(rf"[^{L}]*{OPTION}[^{L}]*", re.IGNORECASE)
"""The same if the answer is an item of a list."""
CORRECTED = re.compile(
    rf"(?:[.!\u2026\n\u2014\u2013,;(-])\s*(?:no,? )?(?:wait|actually|correction|scratch that"
    rf"|on (?:second thoughts?|reflection)|i mean|or rather|let me correct (?:that|myself))\b"
    rf"(?:[^{L}?]|\b(?:the|final|answer|is|it|should|would|must|be|my|i|say|correct|i mean|actually|rather"
    rf"|wait)\b)*\Z",
    re.IGNORECASE,
)
"""Correction of an answer."""
AGAINST_LEAD = re.compile(r"(?:[,;/|]|\band|\bbut)\s*[\"'*`(\[]*\Z", re.IGNORECASE)
"""Conjunction before an opposite in the sentence of the answer."""
AS_ANSWER = re.compile(rf"{CLOSERS}\s*(?:\Z|[^\s{L}]|\n|(?:for|on|to|as|in|with respect|in respect)\b)", re.IGNORECASE)
"""Continuation after such an opposite."""
LABEL_LINE = re.compile(
    rf"[.;!]\s+(?:final )?(?:answer|verdict)\s*:{GLUE}|(?:\A|\n)[\s*#>-]*(?:{BEFORE}\s+)*(?:answer|verdict"
    rf"|prediction|conclusion|decision){TO}{LINK}{GLUE}",
    re.IGNORECASE,
)
"""Label at the start of a line or sentence."""
NEW_TURN = re.compile(
    rf"{USER}|{ASSISTANT}"
    r"|(?:(?<=\n)|\A)[#*\s]*(?:(?P<user>(?:question|q|user|human|next case|(?:case|example|question"
    r"|input) \d+)\s*[*]*\s*[:.]|\#+\s*(?:question|instruction|input|user|human)\b))"
    r"|(?:(?<=\n)|\A)(?P<model>\#+\s*(?:response|assistant|output)\b)",
    re.IGNORECASE,
)
"""Start of another turn; groups `user`, `model` if it is marked in words."""
REPLY = re.compile(r"(?:\n\s*|[?.]\s*)(?=(?:answer|a|response|assistant)\s*:)", re.IGNORECASE)
"""Start of the answer to a question, on its own line."""
DOUBT = re.compile(r"\b(?:wait|hmm+|let me|but|however|alternatively|on the other hand|maybe|perhaps)\b", re.IGNORECASE)
"""Doubt, in a text that was cut off."""
WAVERS = re.compile(r"\b(?:wait|hmm+|let me (?:think|check|re\w+))\b", re.IGNORECASE)
"""Reconsideration."""
BEGUN_PAIR = re.compile(rf"[^{L}]*\bor\b[^{L}]*\Z|{CLOSERS}\s*/\s*\Z", re.IGNORECASE)
"""A final "or" or slash."""
DRAFT = re.compile(
    r"\W*(?:(?:here(?:'s| is| are) (?:a |my )?)?(?:thinking|thought|reasoning) (?:process|steps?)|thinking"
    r"|thoughts?|let me think|step 1)\b",
    re.IGNORECASE,
)
"""Heading of reasoning."""
