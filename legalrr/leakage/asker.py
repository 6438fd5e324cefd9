"""Asks a backbone about documents, each by the question of the experiment, with the answers kept in the store."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from legalrr.annotate.annotate import Annotate
from legalrr.errors import UserError
from legalrr.party import find_party
from legalrr.pipeline import Pipeline
from legalrr.predict.model import ModelPredictor
from legalrr.predict.talk import lead
from legalrr.protocols import Engine
from legalrr.records import Case, Document, Prompt, Verdict
from legalrr.store import Store
from legalrr.tally import Tally

log = logging.getLogger(__name__)


class Asker:
    """A backbone with the question, ready to be asked about parts of judgments.

    Args:
        pipeline: its annotator, predictor and reader are used.
        engine: its backbone, loaded.
        calls: where answers are kept; the keys are those of the arms `direct` and `direct_compare`.

    Attributes:
        scoring: how the answer is given; `generate` in place of `compare` where the backbone has no probabilities.
        tally: counts the answers that are used.

    Raises:
        UserError: stages that do not ask a backbone at once.
    """

    def __init__(self, pipeline: Pipeline, engine: Engine, calls: Store) -> None:
        annotate, predict = pipeline.annotate, pipeline.predict
        if not isinstance(predict, ModelPredictor):
            raise UserError("the probe asks a backbone", where="predict", cure="use predict=model")
        if not isinstance(annotate, Annotate) or not annotate.direct:
            raise UserError("the probe asks for the answer at once", where="annotate", cure="use annotate.direct=true")
        if predict.scoring == "compare" and not engine.can.logprobs:
            log.info("backbone %s gives no log-probabilities: it writes YES or NO", pipeline.backbone.name)
            predict = replace(predict, scoring="generate")
        predict.check(engine)
        self.scoring = predict.scoring
        self.tally = Tally()
        self._annotate = annotate
        self._predict = predict
        self._verdict = pipeline.verdict
        self._engine = engine
        self._calls = calls

    def ask(self, case: Case, documents: Sequence[Document]) -> list[Verdict]:
        """What the backbone says of parts of one judgment.

        Args:
            case: the judgment with the whole of what is shown, from which the party in the question is taken, so that
                every part is asked the same question.
            documents: the parts; one without blocks is asked as `Prompt.blank` has it.
        """
        side = find_party(case.judgment, case.document, named=True)
        judgment = replace(case.judgment, party=side.role, petitioner=side.name)
        # A part of a preamble could seem to hold a name where the whole of it holds none.
        annotate = self._annotate if side.name else replace(self._annotate, party="role")
        cases = [
            Case(judgment=judgment, document=document, prompt=_prompt(annotate.annotate(judgment, document), document))
            for document in documents
        ]
        talks = {number: self._predict.talk(one) for number, one in enumerate(cases)}
        fresh, used = self.tally.fresh, self.tally.count
        led = lead(talks, self._calls, self._engine, fresh=fresh, used=used, advance=lambda count: None)
        completions = dict(led)
        return [self._verdict.read(completions[number], one.prompt) for number, one in enumerate(cases)]


def _prompt(prompt: Prompt, document: Document) -> Prompt:
    if document.blocks or prompt.blank is None:
        return prompt
    return replace(prompt, turns=(prompt.blank,))
