"""A tagger by the name of its choice in conf/segment, for use outside the pipeline: the commands and spaCy."""

from omegaconf import DictConfig, OmegaConf

from legalrr.errors import UserError
from legalrr.places import choices
from legalrr.protocols import Segmenter
from legalrr.stage import build


def tagger(
    name: str, *, scheme: str, model: str | None = None, prior_correction: float | None = None, option: str = "segment"
) -> Segmenter:
    """The tagger that conf/segment/NAME.yaml describes, or conf/segment/NAME_SCHEME.yaml if that has other roles.

    Args:
        name: name of the choice ("crf").
        scheme: scheme of the roles; build or seven.
        model: path of a model file in place of the choice's own.
        prior_correction: 0 to 1, in place of the choice's own; see `legalrr.segment.crf.CrfSegmenter`.
        option: what the user calls the choice, for messages.

    Raises:
        UserError: no such choice, none with that scheme, a field that it lacks, or one that needs gold roles.
    """
    files = choices("segment")
    if name not in files:
        raise UserError(f"no tagger {name!r}", where=option, cure=f"one of {', '.join(files)}")
    nodes = [OmegaConf.load(files[one]) for one in (name, f"{name}_{scheme}") if one in files]
    node = next((node for node in nodes if isinstance(node, DictConfig) and node.get("scheme") == scheme), None)
    if node is None:
        raise UserError(
            f"{name!r} finds no roles of {scheme!r}", where=option, cure="'build' or 'seven', with a tagger"
        )
    for field, value in (("model", model), ("prior_correction", prior_correction)):
        if value is not None:
            node[field] = value
    return build(node, Segmenter, option=option)  # type: ignore[type-abstract]
