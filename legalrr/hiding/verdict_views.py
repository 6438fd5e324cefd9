"""Phrases by which the court states its own view: of the lower court's decision, an argument, a contested point.

A view reveals less than a verdict, but enough to guess it. Annotators label such sentences as facts, precedents and
arguments; taggers do so more often.
"""

from legalrr.hiding.phrases import Phrases
from legalrr.hiding.verdict_phrases import LOWER_COURT, MATTER, PARTY, pattern

_I = r"(?:we|i)\b(?!\.)"
_ADVERB = (
    r"(?:,? ?\b(?:also|therefore|thus|hence|however|accordingly|respectfully|with (?:great )?respect|entirely|fully"
    r"|wholly|clearly|quite|further|too|now|ourselves|myself|still|strictly|find ourselves|must|would|should|shall"
    r"|may|have to|are|am|have|to"
    r"|do|did|cannot but|for (?:these|the|this)[\w ]{3,30}?)\b,?){0,4}"
)
_NOT = (
    r"(?:,? ?\b(?:do not|are not|am not|cannot|can not|could not|find it difficult to|unable to|decline to|refuse to)"
    r"\b,?)"
)
_ARGUMENT = (
    r"(?:contentions?|arguments?|submissions?|pleas?|grounds?|objections?|reasoning|criticisms?|grievances?"
    r"|suggestions?|allegations?"
    r"|attack|challenge|construction)"
)
_SOUND = (
    r"(?:right|wrong|correct|incorrect|justified|unjustified|in error|erroneous|untenable|tenable|unsustainable"
    r"|sustainable|unsupportable|misconceived|perverse|unwarranted|warranted|unfounded|well[- ]?founded|ill[- ]?founded"
    r"|fallacious|unsound|sound|misplaced|unacceptable|without (?:any )?(?:substance|merit|force|foundation|basis)"
    r"|devoid of (?:any )?(?:substance|merit|force)|of no (?:substance|force|avail)|bad in law|open to (?:serious )?"
    r"(?:objection|criticism)|beyond challenge|unexceptionable|unassailable|not open to (?:challenge|question))"
)
# A character within one clause.
_NO_CLAUSE = r"(?:(?!\b(?:that|who|which|held|hold|holding|said|whether|if|found|conclusion that)\b)[^;:])"
_DEGREE = (
    r"(?:,? ?\b(?:also|not|clearly|manifestly|plainly|quite|perfectly|wholly|entirely|therefore|thus|hence|fully|both"
    r"|per se|obviously|patently|equally|thoroughly|absolutely|certainly|totally|completely|legally|so|very"
    r"|in our (?:opinion"
    r"|view|judgment)|in my (?:opinion|view|judgment)|with respect|we think|i think|however|accordingly)\b,?){0,4}"
)
_RIGHTLY = r"(?:rightly|wrongly|correctly|erroneously|justly|justifiably|mistakenly)"
_DID = (
    r"(?:held|found|convicted|acquitted|dismissed|allowed|rejected|set aside|decided|quashed|refused|granted|decreed"
    r"|disallowed|negatived|concluded|observed|pointed out|disbelieved|believed|applied|relied|overruled|discarded"
    r"|accepted"
    r"|declined|upheld|affirmed|reversed|came to|taken|took|reached|answered|assessed|treated|construed|interfered"
    r"|placed"
    r"|considered|exercised|appreciated|directed|ordered|confirmed|restored|awarded|rejecting|holding|invoked)"
)

FIRST_PERSON_VIEW = Phrases(
    r"\bnor (?:are|do|can|could|is|am) (?:we|i)\b",
    # "We do not agree." "We are unable to accept this submission." "We cannot uphold that contention."
    rf"\b{_I}{_ADVERB}{_NOT}{_ADVERB} ?(?:to )?(?:agree|accept|accede|subscribe|concur|uphold|endorse|sustain|share"
    r"|hold|hesitate|support|approve|impressed|satisfied|persuaded|convinced|prepared|inclined|see (?:any|how|why|that)"
    r"|think|consider|find (?:any|that|it|in|ourselves|merit|substance|force)|appreciate|understand how|regard|read"
    r"|countenance|follow|interfere|say|feel|take|apply|treat)\b",
    # "We agree with the High Court." "We accept this contention." "We reject the argument."
    rf"\b{_I}{_ADVERB} ?(?:agree|disagree|concur|differ|dissent|reject|overrule|repel|uphold|endorse|affirm|approve"
    rf"|accept"
    r"|negative)\b",
    r"\bwe\b.{0,30}\bagree with\b|\b(?:we|i)\b(?!\.).{0,20}\b(?:would|will|shall) not be (?:justified|right|proper"
    r"|correct)\b",
    rf"\b{_I}{_ADVERB} ?in (?:full |complete |entire |respectful )?(?:agreement|disagreement)\b",
    # "We are satisfied that ..." "We have no doubt ..." "We are clear that ..." "We find considerable force in ..."
    rf"\b{_I}{_ADVERB} ?(?:satisfied|convinced|persuaded|inclined|clear(?:ly)?|unable|constrained|certain|confident)\b"
    r"(?! (?:about|to (?:refer|set out|notice|deal|state)))",
    rf"\b{_I}{_ADVERB} ?(?:no|little|not the (?:least|slightest)|not any) (?:doubt|hesitation|difficulty)\b",
    rf"\b{_I}{_ADVERB} ?(?:find|see) (?:\w+ ){{0,3}}?(?:force|merit|substance|justification|reason|ground|warrant"
    r"|infirmity|error|difficulty|fault|nothing|ambiguity|conflict|inconsistency|illegality|basis)\b",
    # "We hold that ..." "We think that ..." "We are of opinion that ..." "We have come to the conclusion that ..."
    rf"\b{_I}{_ADVERB} ?(?:hold|think|conclude|feel|believe)\b"
    r"(?! (?:it )?(?:necessary|proper|convenient|desirable|sufficient|better|useful|appropriate|advisable|unnecessary"
    r"|fit|expedient) (?:to|that|in)\b)(?! ourselves\b)(?! (?:in|from|at|on) (?:the )?(?:section|article|page|p\b"
    r"|clause|judgment|order|record))",
    rf"\b{_I}{_ADVERB} ?(?:find|consider(?= that))(?! (?:that )?(?:the )?(?:sub-?)?(?:section|article|rule|clause"
    rf"|act|no reference)\b)(?=.*\b(?:no|not|cannot|never|nothing|without|wrong|right|error|errors|erred|valid"
    r"|invalid|establish\w*|prov(?:ed|es|en)|entitled|illegal\w*|justified|correct|reliable|unreliable|sufficient"
    r"|insufficient"
    r"|fail\w*|contravention|violat\w*|consistent|convincing|force|merit|substance|difficult|impossible|hard"
    r"|well[- ]founded"
    r"|guilty|satisf\w+|doubt\w*|true|false|coherent|trustworthy|support|supported)\b)",
    rf"\b{_I}{_ADVERB} ?(?:firmly |clearly )?(?:of (?:the |this |a )?(?:\w+ ){{0,3}}?(?:opinion|view|mind)"
    r"|come to (?:the|a|this) (?:\w+ )?(?:conclusion|view|finding))\b",
    # "In our opinion ..." "It seems to us that ..." "To our mind ..."
    r"(?<!express )(?<!expressing )(?<!expressed )\b(?:our|my) (?:own |considered |humble |respectful |clear |firm "
    r"|final |definite )*(?:opinion|view|judge?ment|mind|thinking|conclusion"
    r"|estimation)\b(?! (?:dated|of|delivered|in)\b)",
    r"\b(?:it|this|that|which|there|they|he)?\b.{0,40}\b(?:seems?|appears?) to (?:us|me)\b",
    r"\b(?:strikes|impresses|commends itself to|convinces|satisfies|persuades|appeals to) (?:us|me)\b",
    r"\b(?:not|fail(?:s|ed) to|unable to) (?:\w+ )?(?:satisfy|persuade|convince|impress|satisfied|persuaded"
    r"|convinced|impressed|commend itself to) (?:us|me)\b|\bsatisfy us that\b",
    r"\b(?:leaves?|left) (?:us|me) (?:with )?(?:in )?no (?:\w+ )?doubt\b|\bwe (?:need|must|should|would) only (?:say"
    r"|add) that\b",
    r"\bour (?:conclusion|answer|view|opinion|finding) (?:is|to)\b|\b(?:my|our) answers?\b",
    r"\b(?:and|,) (?:we|i) (?:think|may say|hold|must say)\b|\bwe\b.{0,8}\bthink,? (?:rightly|wrongly|correctly)\b"
    r"|\band,? (?:in our \w+,? )?rightly\b",
    r"\bhelp(?:s|ful)? (?:to )?us\b.{0,20}\bhold",
    # "I would therefore dismiss ...", "we would answer"
    rf"\b{_I}{_ADVERB} ?(?:answer|prefer|acquit|convict|set aside|quash|allow|dismiss|remand|remit)\b",
)
"""The court's view in the first person; hidden under every role, unless quoted or asked."""

# "We think it right to set out the facts": procedural statements, not views.
_REGISTERED = r".*\bregistered as (?:\w+ )?(?:appeals?|petitions?)\b.*"
_PROCEDURAL = (
    # References to a colleague's opinion, another part of the same judgment.
    r"\b(?:we|i)\b(?!\.).{0,40}\b(?:agree|concur|differ)\b.{0,100}\b(?:broth ?ers?|brethren|lords?|colleagues?"
    r"|chief justice|propos(?:ed|es)|jj?\.|judgment (?:just |now |just now |going to be )?(?:deliv ?er\w*|pronounced"
    r"|prepared))",
    r"\bbrothers?\b.{0,80}\bwe agree with him\b",
    # Interim orders.
    r"\b(?:we|i)\b(?!\.).{0,20}\bdirect\b.{0,120}\b(?:pending (?:disposal|hearing|decision)|(?:papers"
    r"|records?) be (?:sent|called))\b",
    _REGISTERED,
    r"\b(?:we|i)\b(?!\.).{0,20}\b(?:consider|think|feel|find) it (?:\w+ )?(?:proper|necessary|desirable|right|fit"
    r"|appropriate|convenient|useful|enough|expedient) (?:to|if we) (?:refer|state|add|set|mention"
    r"|quote|deal|notice|examine|consider|point)\b",
    r"\b(?:we|i)\b(?!\.),? (?:therefore |accordingly |hereby )?(?:grant(?:ed)? (?:special )?leave|(?:direct"
    r"|order) that [^.;]{0,60} be (?:joined|impleaded|added|listed|posted))\b"
    r"[^.;]{0,80}",
    r"\b(?:we|i)\b(?!\.)(?!.{0,400}\b(?:and|but)\b,? (?:we )?(?:are (?:of|satisfied|clear|convinced)|find|have no"
    r"|do not|hold|agree|think|see no|is of))"
    r".{0,60}\b(?:(?:heard|perused|gone through|considered|examined|noticed|granted|issued|referred"
    r"|set out|quoted|extracted|mentioned|stated)\b(?! (?:that|and are)\b)|(?:propose|proceed|turn|intend|shall now"
    r"|will now|"
    r"now) to\b|(?:take|deal with) (?:up|the)\b)",
    r"\b(?:not|un)(?: ?think| ?consider| ?propose|necessary)\b.{0,30}\b(?:necessary|to (?:go into|deal|express"
    r"|consider|decide"
    r"|discuss|examine|refer|set out))\b",
    r"\b(?:opinion|view|judgment),? (?:it is|it would be) (?:not |un)?necessary\b|\b(?:we are|i am) (?:very |deeply "
    r"|much )?(?:thankful|grateful"
    r"|obliged|indebted)\b|\bwe (?:may|shall|will|must|have to|would|might) (?:(?:first|now|next|also|here|only"
    r"|further|at once|presently|briefly) )*(?:refer|see|consider|notice|mention|give|set|state|express"
    r"|clear the ground|have a"
    r"|note|quote|advert|examine|point out|observe|deal|start|begin|proceed|turn)\b|\bone of us\b",
    r"\b(?:we|i)\b(?!\.).{0,30}\b(?:concerned|called upon|directed our attention|not concerned)\b",
    r"\b(?:opinion|view)\b.{0,30}\b(?:(?:leave|rule|notice|special leave) (?:should|must) (?:be )?(?:granted|issued?)"
    r"|(?:should|must|requires? to|ought to|deserves? to) be (?:referred|heard|considered"
    r"|decided) by (?:a )?(?:larger|full))",
)

_WITH_REGISTERED = pattern(*_PROCEDURAL)
# Quadratic in the length of a sentence, so `_REGISTERED` is matched only if the word "registered" occurs.
_WITHOUT_REGISTERED = pattern(*(part for part in _PROCEDURAL if part is not _REGISTERED))


def remove_procedure(words: str) -> str:
    """Replace procedural statements of a sentence by a space."""
    procedural = _WITH_REGISTERED if "registered" in words.lower() else _WITHOUT_REGISTERED
    return procedural.sub(" ", words)


LOWER_COURT_VIEW = Phrases(
    # "The High Court was right in ...", "was clearly wrong in holding", "is thus erroneous", "erred"
    rf"\b(?:{LOWER_COURT}|division bench|bench|view|finding|findings|conclusions?|decision|judge?ment|order|approach"
    rf"|reasoning|opinion"
    rf"|interpretation|construction)\b{_NO_CLAUSE}{{0,80}}?\b(?:was|were|is|are|has been"
    rf"|have been){_DEGREE} ?{_SOUND}\b",
    rf"\b(?:{LOWER_COURT}|bench|judges?|commissioner|division bench)\b{_NO_CLAUSE}{{0,60}}?\b(?:(?:has |have "
    rf"|had )?(?:\w+ )?(?:erred|went"
    r" wrong|misdirected|overlooked|misread|misunderstood|misapplied|misapprehended|misconstrued|ignored|lost sight"
    r"|exceeded (?:its|his|their) jurisdiction|acted (?:illegally|without jurisdiction|in excess of)"
    r"|failed to (?:appreciate|consider|notice|see|apply|exercise|take|realise|realize|advert|give|keep))"
    r"|f[ae]ll(?:en)? (?:\w+ )?in(?:to)? (?:\w+ ){0,3}error"
    r"|(?:has |have |had )?(?:\w+ )?commit(?:ted)? (?:\w+ ){0,4}(?:error|illegality|mistake|irregularity)"
    r"|(?:has |have |had )?made (?:\w+ ){0,3}(?:error|mistake))\b",
    # "The High Court rightly observed ...", "rightly negatived by the High Court"
    rf"\b{_RIGHTLY} (?:\w+ ){{0,2}}?{_DID}\b|\b{_DID}\b.{{0,40}}\b{_RIGHTLY}\W*\Z|\b{_RIGHTLY} so\b",
    rf"\b(?:{LOWER_COURT}|division bench)\b,? (?:\w+ )?(?:rightly|wrongly|correctly|erroneously) \w+",
    r"\bjustified in (?:\w+ )?(?:answering|dismissing|allowing|setting|convicting|acquitting|refusing|rejecting"
    r"|granting|interfering|quashing|holding|coming|taking|reversing|relying|treating)\b",
    r"\b(?:was|is) (?:\w+ )?nothing wrong\b",
    r"\bcommitted (?:a |an )?(?:\w+ )?(?:mistake|error) (?:in|of) law\b",
    r"\b(?:wrong|error|mistake|illegality) (?:on the part|of the|of) (?:of )?(?:the )?"
    rf"(?:{LOWER_COURT}|learned)\b|\bit was (?:wrong|improper|not open|erroneous|illegal)\b.{{0,12}}\b(?:of|for|to"
    rf"|on the part of)\b.{{0,12}}"
    rf"\b(?:{LOWER_COURT}|learned)\b",
    rf"\b(?:right|wrong|correct|justified|in error) (?:in|when|about)\b.{{0,40}}\b(?:{LOWER_COURT})\b",
    r"\b(?:cannot|can not|could not) be (?:sustained|upheld|supported|faulted|allowed to stand|maintained)\b"
    r"|\bcannot stand\b",
    r"\b(?:should|ought to|ought|need|could),?(?: \w+,?){0,2} have,?(?: \w+,?){0,2}? (?:been )?(?:set aside|rejected"
    r"|dismissed|acquitted|convicted"
    r"|interfered|reversed|granted|quashed|decreed|upheld|disturbed|accepted|held|allowed(?! to))\b",
    # "The view of the High Court that ... is also correct."
    rf"\b(?:view|conclusion|finding|opinion|decision)s?\b.{{0,30}}\b{LOWER_COURT}\b.{{0,250}}\b(?:is|was|are"
    rf"|were){_DEGREE} ?{_SOUND}\W*\Z",
    # "The Tribunal came to the right conclusion."
    r"\b(?:reached|come|came|arrived|taken|took)\b.{0,20}\b(?:correct|right|wrong|erroneous|appropriate|just"
    r"|incorrect) "
    r"(?:conclusions?|findings?|decisions?|view)\b",
)
"""The court's view of the lower court's decision."""

ARGUMENT_VIEW = Phrases(
    # "These submissions are wholly without any substance." "The contention must be rejected."
    rf"\b{_ARGUMENT}\b(?:(?!\b(?:that|which|who|of others)\b)[^;\"“]){{0,100}}?\b(?:is|are|seems?|appears?|must|has"
    rf"|have|cannot|can not|should|would|holds?"
    rf"|carr(?:y|ies)|does not|do not|merits?|deserves?|fails?|lacks?){_DEGREE} ?(?:to be |to |be |be held to be )?"
    rf"(?:{_SOUND}|rejected|accepted|upheld|overruled|repelled|negatived|fails?|prevail|succeed|stand|entertained"
    r"|sustained|no (?:water|force|merit|substance|avail|foundation|basis|legs)|(?:much|considerable|great|some|any)?"
    r" ?(?:force|merit|substance)|attractive|plausible|(?:any )?consideration|impress\w*|commend\w*|countenanced"
    r"|true|so)\b",
    rf"(?<!on the )(?<!on various )(?<!on these )\b{_ARGUMENT}\b(?:(?!\b(?:is|was|were"
    rf"|are)\b).){{0,40}}\bthat\b.{{0,250}}?\b(?:(?:must|should|has to|cannot"
    rf"|can not)\b.{{0,20}}\b(?:fail|be (?:rejected|accepted|upheld"
    r"|sustained|overruled|repelled|negatived|countenanced))|fails|(?:is|are) (?:\w+ )?(?:devoid of|without"
    r"|untenable|unsustainable|misconceived|well[- ]founded"
    r"|fallacious)|(?:has|bears?|carries|holds) (?:no|much|considerable|great) (?:force|substance|merit)"
    r"|holds? no water)\b",
    r"\b(?:as|has been|have been|it was|is) (?:has been |was )?(?:rightly|correctly) (?:pointed out|contended"
    r"|submitted|argued|urged)\b",
    # "There is no force in this contention." "We see great force in the argument."
    rf"\b(?:no|any|little|much|great|considerable|some|without|good deal of|lot of|sufficient) (?:\w+ )?(?:merits?"
    rf"|substance|force)\b"
    rf".{{0,30}}\b(?:in|of)\b.{{0,60}}\b(?:{_ARGUMENT}|points?)\b",
    rf"\b{PARTY}\b.{{0,40}}\bcannot (?:be heard to say|succeed|complain|contend|claim|take advantage|invoke|rely)\b",
    rf"\b(?:mr|shri|sri|learned counsel|counsel|dr|smt|ms|miss|attorney[- ]general"
    rf"|solicitor[- ]general)\b.{{0,60}}\bis{_DEGREE} ?(?:right|correct|wrong)\b",
    r"\bmisconception of\b|\bholds? no water\b|\bno substance in\b|\bmust prevail\b",
)
"""The court's view of an argument."""

CONCLUSION_VIEW = Phrases(
    # "This being so, the assessee is entitled to the exemption." "It follows that the notice was bad."
    r"\A\W*(?:it (?:also |therefore |thus )?follows|this being so|that being so|hence|accordingly|consequently"
    r"|therefore|thus"
    r"|in th(?:is|at|ese) (?:view|circumstances|premises|situation)|for (?:all )?(?:these|this|the (?:above"
    r"|foregoing|aforesaid|said)"
    r"[\w ]{0,12}) reasons?|in view of (?:this|these|the (?:above|foregoing|aforesaid)))\b.{0,160}?\b(?:is|are"
    r"|cannot|must|"
    r"should|(?:has|have) (?:not )?(?:been )?(?:proved?|established|failed))\b.{0,60}?\b(?:entitled|liable|valid"
    r"|invalid|void"
    r"|illegal|bad|barred|established|proved|guilty|maintainable|competent|unsustainable|vitiated|available|applicable"
    r"|violative|ultra vires|intra vires|mandatory|directory|succeed|fail)\b",
    r"\A\W*it (?:also |therefore |thus )?follows\b",
    r"\bit (?:has|must|is),? (?:\w+,? )?(?:to )?be held\b|\bconclusion is (?:\w+ )?(?:inescapable|irresistible"
    r"|inevitable)\b",
    # "... which leaves no room for doubt that they are the employees of the appellant"
    r"\b(?:leaves?|leaving) (?:us )?(?:in )?no (?:room for |manner of |shadow of |scope for "
    r"|reasonable )?doubt that (?:they|he|she"
    r"|the (?:appellants?|respondents?|petitioners?|workm[ae]n|assessees?|accused)) (?:is|are|was|were|had|has)\b",
    r"\b(?:it is |it becomes |we find it )?unnecessary to (?:examine|consider|deal with|go into|decide) (?:the|this"
    r"|that|other|any) (?:\w+ )?(?:contentions?"
    r"|arguments?|submissions?|questions?)\b.{0,60}\b(?:as|since|because|in view)\b",
    rf"\bth(?:is|e present) {MATTER} (?:is|was|are)\b.{{0,30}}\bwithout (?:any )?(?:substance|merit)\b",
)
"""A conclusion for this case."""
