"""Verdicts on the present matter are detected; decisions of lower courts, questions and arguments are not."""

import pytest

from legalrr.hiding.verdict_cues import VerdictDetector, is_verdict
from legalrr.sentences import split

VERDICTS = [
    "The appeal must be allowed.",
    "We dismiss this petition with costs.",
    "The impugned order is therefore set aside.",
    "His conviction under section 302 is set aside and the appellant shall be released forthwith.",
    "The appeal fails.",
    "The appeal must therefore fail.",
    "This appeal succeeds and the suit stands decreed.",
    "Rule made absolute.",
    "The rule is discharged.",
    "The petition stands disposed of.",
    "The question is answered in favour of the assessee and against the Revenue.",
    "We answer it in the negative.",
    "For reasons to follow, the appeal is allowed.",
    "The question is of some nicety, and we answer it in favour of the appellant.",
    "Following that decision, this petition deserves to be dismissed.",
    "In the result, both the appeals are partly allowed.",
    "There is no merit in this appeal.",
    "The writ petition is devoid of substance and has no merit.",
    "The appeal has no force.",
    "There shall be no order as to costs.",
    "The parties will bear their own costs.",
    "The respondent will pay the costs of the appellant throughout.",
    "The appellants are entitled to their costs in this Court.",
    "The accused is acquitted of the charge.",
    "I hold the accused not guilty of the offence and acquit him.",
    "The appellant is entitled to the benefit of doubt.",
    "He shall be set at liberty forthwith, unless wanted in another case.",
    "His bail bonds stand cancelled.",
    "The order of the Tribunal cannot be sustained.",
    "The decree of the trial court is restored.",
    "The judgment of the High Court is accordingly affirmed.",
    "We see no reason to interfere with the finding.",
    "We therefore remand the case to the Tribunal.",
    "The matter is remitted to the Collector for a fresh decision.",
    "Let a writ of mandamus issue.",
    "No substantial question of law arises for our consideration.",
    "The plaintiff is entitled to a decree for possession.",
    "The petitioner shall not tamper with the evidence.",
    "This Court sets aside the conviction.",
    "It is accordingly rejected.",
    "Dismissing the appeals, this Court",
    "HELD: the notice was bad in law.",
    "Appeal allowed.",
    "V.P.S. Appeals dis- missed.",
    "Civil Appeal No. 12 of 1961 dismissed with costs.",
    "Draw decree accordingly.",
    "Dismissed.",
    "Counsel contended that time had run, but the appeal must be allowed.",
]
OTHERS = [
    "The High Court dismissed the first appeal.",
    "The suit was decreed by the trial Court.",
    "His application was dismissed on 3.2.1950.",
    "The first appeal was dismissed with costs by the District Judge.",
    "The Tribunal allowed the appeal of the assessee.",
    "The appeal came to be dismissed on 4 May 1981.",
    "The assessment was set aside by the Commissioner.",
    "The accused was convicted and sentenced to two years.",
    "It is prayed that the appeal be allowed.",
    "The petitioner prays that the order be quashed.",
    "He filed a petition praying that the notice be quashed.",
    "Counsel contended that the petition deserves to be dismissed.",
    "It was urged that the conviction cannot be sustained.",
    "The respondent submits that there is no merit in this appeal.",
    "Whether the appeal should be allowed is the question.",
    "If the appeal is allowed, the deposit must be refunded.",
    "Until the suit is decreed no rent is due.",
    "The Court held that such a suit must be dismissed.",
    "The learned Judge thought that the petition must fail.",
    "In that case it was held that the order is liable to be set aside.",
    "The authority may order that the notice be quashed.",
    "This appeal by special leave is directed against the judgment of the High Court.",
    "The appellant was served on the fifth day.",
    "Leave granted.",
    "We heard counsel at some length.",
    "An appeal lies to the High Court on a question of law.",
    "The tenant paid the rent in January.",
    "A refusal to set aside an award is open to appeal.",
    "He was released on bail in 1975.",
    "The notice reached the firm on 4 June.",
    "The landlord allowed him a month.",
    "The Munsif dismissed the suit.",
]


@pytest.mark.parametrize("sentence", VERDICTS)
def test_a_sentence_that_decides_this_matter_is_a_verdict(sentence):
    assert is_verdict(sentence, role="FAC", position=0.3)


@pytest.mark.parametrize("sentence", OTHERS)
def test_decisions_and_requests_of_others_are_not_verdicts(sentence):
    assert not is_verdict(sentence, role="FAC", position=0.3)


VIEWS = [
    "The High Court was right in dismissing the suit.",
    "The Tribunal erred in law.",
    "In the present case the Division Bench was clearly wrong in holding that no appeal lay.",
    "The State Government committed a mistake in law.",
    "The plea was rightly negatived by the High Court.",
    "The High Court has held, and rightly so, that the notice was late.",
    "The High Court correctly gave four reasons for its view.",
    "We do not agree with the High Court.",
    "We are, therefore, of the opinion that the notice was bad.",
    "We find ourselves unable to accept this submission.",
    "I have no hesitation in holding that the receipt is genuine.",
    "It seems to us that the view taken by the High Court is not correct.",
    "In our judgment the rule covers this case.",
    "Tn our opinion, the distinction is not logical.",
    "These submissions are wholly without any substance.",
    "The contention that the notice was late is devoid of substance.",
    "This contention of the appellant is plainly correct.",
    "There is considerable force in Mr. Rao's submission.",
    "The argument must, therefore, fail.",
    "This being so, the assessee is entitled to the exemption.",
    "These facts leave no room for doubt that he is the tenant.",
    "Shri Rao contended--and we think rightly--that the roll was a sheet.",
    "Having heard counsel, we are of the opinion that there is no merit in these appeals.",
]
OF_OTHERS = [
    "The High Court held that the Tribunal had erred in law.",
    "Counsel submitted that the High Court was clearly wrong.",
    "The question is whether the High Court was right in dismissing the suit.",
    "Was the High Court right in dismissing the suit?",
    "It was argued that the contention of the tenant had no force.",
    "The learned Judge found no substance in the plea of limitation.",
    "The contention was rejected by the Collector.",
    "Two points were urged: (1) that the award was void; (2) that the Tribunal was in error.",
    "His grievance is that the view taken by the Commissioner is not correct.",
    "He urged that we should modify the question.",
    "The decree, it was urged, cannot be sustained.",
    "The High Court answered the question in the negative.",
    "In the result, the writ petition was dismissed.",
    "In the result, he modified the decree of the Munsif.",
    "He, however, declined to interfere with the proceedings.",
    "He was called upon to show cause why the sale should not be cancelled.",
    "After hearing the parties on various dates the officer held that the assessee is not entitled to the deduction.",
    "The deceased stated that the accused must be punished.",
    "They were properly sealed.",
    "We have heard counsel for the parties.",
    "We shall now consider the second point.",
    "We think it necessary to set out the facts.",
    "We do not think it necessary to set out the facts.",
    "It is common ground that a refusal to set aside an award is open to appeal.",
    "(i) 50 per cent by direct recruitment from the lower ranks.",
]


@pytest.mark.parametrize("role", ["FAC", "NONE", "ISSUE", "PREAMBLE"])
@pytest.mark.parametrize("sentence", VIEWS)
def test_the_courts_own_view_is_a_verdict_under_any_role(sentence, role):
    assert is_verdict(sentence, role=role, position=0.3)


@pytest.mark.parametrize("sentence", OF_OTHERS)
def test_views_of_others_questions_and_arguments_are_not_verdicts(sentence):
    assert not is_verdict(sentence, role="FAC", position=0.3)


@pytest.mark.parametrize("sentence", ["We do not agree with the High Court.", "The appeal must be allowed."])
def test_a_quotation_counts_only_near_the_end(sentence):
    assert not is_verdict(sentence, role="FAC", position=0.3, quoted=True)
    assert is_verdict(sentence, role="FAC", position=0.9, quoted=True)
    assert not is_verdict(f'{sentence}"', role="FAC", position=0.3)


def test_in_a_judgment_of_we_an_i_is_another_speaker():
    sentence = "I have no hesitation in holding that the receipt is genuine."
    assert not is_verdict(sentence, role="FAC", position=0.3, speaker="we")
    assert is_verdict(sentence, role="FAC", position=0.3, speaker="I")


def test_the_detector_finds_quotations_and_speaker_in_the_full_text():
    own = "We do not agree with the High Court."
    text = f'The tenant came. We heard him. The learned Judge said: "The rent was due. {own} It was paid." {own}'
    detector = VerdictDetector(text)
    first, last = text.index(own), text.rindex(own)
    assert not detector.detects(first, first + len(own), "FAC")
    assert detector.detects(last, last + len(own), "FAC")
    longer = text + " I hold the receipt genuine."
    assert not VerdictDetector(longer).detects(len(text) + 1, len(longer), "FAC")


@pytest.mark.parametrize(
    "sentence",
    [
        "The ap\u00adpeal is dis\u00admissed.",
        "The appeal is dis\u200bmis\u200bsed.",
        "The&nbsp;appeal is&#32;dis&shy;missed.",
        "The appeal is d i s m i s s e d.",
        "T h e  a p p e a l  i s  d i s m i s s e d.",
        "T h e a p p e a l i s d i s m i s s e d .",
        "\uff34he appeal is \uff44\uff49\uff53\uff4d\uff49\uff53\uff53\uff45\uff44.",
        "The appeal is al lowed.",
        "The appeal is a1lowed.",
        "The \u0430ppeal is dismiss\u0435d.",
        "We do not a&#103;ree with the High Court.",
    ],
)
def test_verdicts_with_obfuscated_letters_are_detected(sentence):
    assert is_verdict(sentence, role="FAC", position=0.3)


@pytest.mark.parametrize("role", ["RLC", "PRE", "PRE_RELIED", "PRE_NOT_RELIED"])
def test_under_lower_court_or_precedent_only_this_matter_counts(role):
    assert not is_verdict("The appeal is dismissed with costs.", role=role)
    assert is_verdict("Following that decision, this appeal is dismissed.", role=role)
    assert is_verdict("We dismiss the appeal.", role=role)


@pytest.mark.parametrize("role", ["ARG", "ARG_PETITIONER", "ARG_RESPONDENT"])
def test_under_an_argument_only_a_decision_counts(role):
    assert not is_verdict("The appeal therefore deserves to be dismissed.", role=role)
    assert not is_verdict("The High Court erred.", role=role)
    assert not is_verdict("There is no merit in the plea of the other side.", role=role, position=0.5)
    assert is_verdict("This contention must be rejected.", role=role, position=0.5)
    assert is_verdict("We see no force in the argument.", role=role, position=0.5)
    assert is_verdict("We dismiss the appeal.", role=role)


@pytest.mark.parametrize(
    "sentence",
    [
        "The High Court ought not to have interfered.",
        "The finding of the Tribunal was wrong.",
        "We agree with the view of the learned Judge.",
        "The conviction cannot stand.",
    ],
)
def test_a_view_of_the_lower_courts_decision_counts_in_reasoning(sentence):
    assert is_verdict(sentence, role="RATIO", position=0.5)
    assert is_verdict(sentence, role="ANALYSIS", position=0.5)


@pytest.mark.parametrize(
    "sentence",
    [
        "Point No. 1: In the negative.",
        "In the affirmative.",
        "I answer issue No. 3 in the affirmative.",
        "The prosecution has failed to prove the charge beyond reasonable doubt.",
        "The prosecution has proved its case.",
        "It would be unsafe to convict him on this evidence.",
        "The evidence is not sufficient to hold them guilty.",
        "He can, therefore, be held guilty only of the lesser offence.",
        "The plaintiff is not entitled to any share.",
        "No case is made out for bail.",
        "Both the sentences shall run concurrently.",
        "We direct that the amount be refunded.",
        "The Tribunal shall consider the matter afresh.",
        "This Court is not inclined to reduce the sentence.",
        "The ends of justice would be met by a fine.",
        "In the result, the decree stands.",
        "The conviction is unassailable.",
        "There is no infirmity in the order of the Collector.",
        "Even if the letter was never served, the order of discharge is valid.",
    ],
)
def test_findings_that_imply_one_outcome_are_verdicts_anywhere(sentence):
    assert is_verdict(sentence, role="FAC", position=0.3)


@pytest.mark.parametrize(
    "sentence",
    [
        "Hearing on the question of sentence.",
        "The convict pleaded for mercy.",
        "Counsel submitted that leniency is due.",
    ],
)
@pytest.mark.parametrize("role", ["NONE", "ARG_RESPONDENT"])
def test_a_mention_of_punishment_near_the_end_implies_a_conviction(sentence, role):
    assert is_verdict(sentence, role=role, position=0.82)
    assert not is_verdict(sentence, role=role, position=0.5)


@pytest.mark.parametrize(
    "sentence",
    [
        "Allowing the appeals, this Court",
        "HELD : (1) Rent was due.",
    ],
)
def test_a_headnote_without_a_heading_is_a_verdict_in_the_preamble(sentence):
    assert is_verdict(sentence, role="PREAMBLE", position=0.05)


def test_the_word_held_alone_is_not_a_verdict():
    assert not is_verdict("HELD: 1.", role="PREAMBLE", position=0.05)
    assert not is_verdict("These two petitions are disposed of by this common judgment.", role="NONE", position=0.1)


def test_whitespace_and_length_do_not_matter():
    assert is_verdict("The appeal\n  must be\tallowed.")
    assert not is_verdict("word " * 100_000)
    assert not is_verdict("the appeal, which " * 20_000)


@pytest.mark.parametrize(
    "unit",
    [
        ", hereby",
        " to be",
        " for the reasons stated,",
        " the order is",
        " criminal",
        " we",
        " not",
        " of the accused",
        " no",
    ],
)
def test_no_sentence_takes_exponential_time(unit):
    assert not is_verdict("The appeal is" + unit * 400)


def test_specimen_verdicts_are_detected_and_lower_court_rulings_are_not():
    from legalrr.corpora.catalogue import card

    reader = card("specimen").reader()
    found = []
    for judgment in reader.read(reader.split):
        for span in judgment.spans:
            if span.role not in {"ANALYSIS", "STA", "RATIO", "RPC"}:
                sentences = split(judgment.text[span.start : span.end])
                found += [
                    (
                        span.role,
                        is_verdict(judgment.text[span.start + a : span.start + b], role=span.role, position=0.5),
                    )
                    for a, b in sentences
                ]
    hidden = [role for role, verdict in found if verdict]
    assert "RLC" not in hidden
    assert {"FAC", "NONE", "ISSUE", "PRE_RELIED"} <= set(hidden)
    assert len(hidden) < 0.04 * len(found)
