"""Former paths of moved stage classes, under which results were first stored."""

from collections.abc import Mapping

FORMER: Mapping[str, str] = {
    "legalrr.backbones.openai.backbone.OpenAIBackbone": "legalrr.backbones.openai.OpenAIBackbone",
    "legalrr.backbones.local.backbone.TransformersBackbone": "legalrr.backbones.transformers.TransformersBackbone",
    "legalrr.backbones.local.gka_options.GkaOptions": "legalrr.backbones.gka.options.GkaOptions",
    "legalrr.backbones.meter.BackboneMeter": "legalrr.measure.meter.Meter",
    "legalrr.backbones.sampling.CardSampling": "legalrr.backbones.sampling.Card",
    "legalrr.corpora.text.SentenceLines": "legalrr.corpora.sentence_lines.SentenceLines",
    "legalrr.corpora.text.TextFolder": "legalrr.corpora.text_folder.TextFolder",
    "legalrr.predictors.LastLinesPredictor": "legalrr.predict.baselines.LastLinesPredictor",
    "legalrr.predictors.MajorityPredictor": "legalrr.predict.baselines.MajorityPredictor",
    "legalrr.predictors.ModelPredictor": "legalrr.predict.model.ModelPredictor",
    "legalrr.predictors.StratifiedPredictor": "legalrr.predict.baselines.StratifiedPredictor",
    "legalrr.predictors.TfidfPredictor": "legalrr.predict.baselines.TfidfPredictor",
    "legalrr.score.scorer.PredictionScorer": "legalrr.score.prediction.PredictionScorer",
    "legalrr.segment.sentence_embeddings.LanguageModel": "legalrr.segment.states.LanguageModel",
    "legalrr.segment.tagger.GoldSegmenter": "legalrr.segment.gold.GoldSegmenter",
    "legalrr.verdict.PatternVerdictReader": "legalrr.verdict.VerdictReader",
}
"""Dotted path of a class -> path of its first release.

`legalrr.stage.description` writes the former path, so that identities and keys of the store do not change, and
`legalrr.stage.build` accepts it as a `_target_`. If a class moves again, change the key and keep the value.
"""
