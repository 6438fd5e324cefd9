"""Classes of stages that have moved since results were first stored under their paths."""

from collections.abc import Mapping

FORMER: Mapping[str, str] = {
    "legalrr.backbones.openai.backbone.OpenAIBackbone": "legalrr.backbones.openai.OpenAIBackbone",
}
"""Dotted path of a class -> the path under which it was first released.

`legalrr.stage.description` writes the former path, so that identities and keys of the store stay as they were, and
`legalrr.stage.build` accepts it as a `_target_`. When a class moves again, change the key and leave the value.
"""
