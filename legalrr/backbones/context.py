"""Setting a model's configuration to a context length, where its positions depend on that.

Three kinds do. Qwen3-VL reads beyond its native length only with YaRN, which its card spells out. Phi reads short
prompts by other rotary frequencies than long ones, so that nothing read in a short prompt would serve a long one: here
the context decides, once for all prompts. And a sliding window as wide as the context is none.
"""

from typing import TYPE_CHECKING

from legalrr.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

YARN = {524288: 2.0, 786432: 3.0}
"""Factor by context, from the cards of Qwen3-VL ("Processing Long Texts"), which advise against greater ones."""
YARN_MODELS = frozenset({"qwen3_vl", "qwen3_vl_moe"})
YARN_NATIVE = 262144


def set_context(config: "PretrainedConfig", context: int | None, *, option: str) -> int:
    """Change `config` to what a context asks for; returns the context.

    Args:
        config: of the model.
        context: tokens that prompt and answer may take together; None: as many as the model was made for.
        option: config path of the backbone, for messages.

    Raises:
        UserError: the model was not made for so many, and its card has no recipe for it.
    """
    text = config.get_text_config(decoder=True)
    native = text.max_position_embeddings
    context = context or native
    if context > native:
        stretchable = config.model_type in YARN_MODELS and native == YARN_NATIVE
        if not stretchable or context not in YARN:
            longer = "".join(f" or {length}" for length in YARN) if stretchable else ""
            raise UserError(
                f"a context of {context} tokens is more than the model was made for",
                where=f"{option}.context",
                cure=f"at most {native}{longer}",
            )
        _stretch(text, context)
    if (getattr(text, "rope_parameters", None) or {}).get("rope_type") == "longrope":
        _settle(text, context)
    # Where layers differ, a window may go with positions of its own; such models are left alone.
    window = getattr(text, "sliding_window", None)
    if window is not None and window >= context and getattr(text, "layer_types", None) is None:
        text.sliding_window = None
    return context


def check_thinking(thinking_tokens: int, context: int, *, option: str) -> None:
    """Raises UserError where the tokens of a thought leave nothing of the context."""
    if thinking_tokens >= context:
        raise UserError(
            f"thinking_tokens is {thinking_tokens}, and the context {context}",
            where=f"{option}.thinking_tokens",
            cure="leave room for prompts and answers",
        )


def _stretch(text: "PretrainedConfig", context: int) -> None:
    """YaRN as the card has it; mrope_section and mrope_interleaved stay."""
    text.rope_parameters = {
        **text.rope_parameters,
        "rope_type": "yarn",
        "factor": YARN[context],
        "original_max_position_embeddings": text.max_position_embeddings,
    }
    text.max_position_embeddings = context


def _settle(text: "PretrainedConfig", context: int) -> None:
    """One set of LongRoPE factors (Ding et al., arXiv 2402.13753) for all prompts: the long ones where the context
    exceeds the original length, the short ones elsewhere."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    _, attention_factor = ROPE_INIT_FUNCTIONS["longrope"](text, None)
    chosen = "long_factor" if context > text.rope_parameters["original_max_position_embeddings"] else "short_factor"
    factors = text.rope_parameters[chosen]
    # The library would change factors, and throw its cache away, where a prompt passes the original length.
    text.original_max_position_embeddings = text.max_position_embeddings
    text.rope_parameters = {
        **text.rope_parameters,
        "short_factor": factors,
        "long_factor": factors,
        "attention_factor": attention_factor,
        "original_max_position_embeddings": text.max_position_embeddings,
    }
