"""Switch the thoughts of a reasoning model off or on, and close a thought after a number of tokens.

A hybrid reasoning model has a switch in its chat template: an argument that changes the prompt. It differs between
families, so a switch counts only if a conversation is rendered differently with true and with false. With `off` most
templates put an empty thought into the prompt; with `on` some open the thought there, so that an answer has its closing
tag alone.

A budget closes a thought that has reached it in the words of the Qwen3 technical report (arXiv 2505.09388, section
4.3), after which the model answers. A thought that ends earlier leaves the remaining tokens to the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from legalrr.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from legalrr.backbones.chat_template import ChatTemplate
    from legalrr.backbones.sampling import Generated

MODES = ("off", "on", "budget")
YAML = {"False": "off", "True": "on"}
"""YAML reads off and on as false and true."""
SWITCHES = ("enable_thinking", "thinking")
"""Arguments of chat templates: Qwen3, Qwen3.5, SmolLM3, GLM and Gemma 4; Granite and DeepSeek-V3.1."""
OPENED, CLOSED = "<think>", "</think>"
CLOSING = (
    "\n\nConsidering the limited time by the user, I have to give the solution based on the thinking directly now.\n"
    f"{CLOSED}\n\n"
)
"""What closes a thought that has reached its budget."""
PROBE = ({"role": "user", "content": "Is it so?"},)
"""Conversation that is rendered to find a switch."""


@dataclass(frozen=True, kw_only=True)
class ThoughtBudget:
    """Limit of a thought, in tokens of one tokenizer."""

    tokens: int
    """Maximum number of tokens of a thought, with its opening tag."""
    in_prompt: bool
    """Whether prompts end in an open thought."""
    opened: int
    """Token of the opening tag."""
    closed: int
    """Token of the closing tag."""
    closing: tuple[int, ...]
    """Tokens of `CLOSING`."""

    def is_open(self, tokens: Sequence[int]) -> bool:
        """Whether a thought is open after the generated tokens."""
        return self.closed not in tokens and (self.in_prompt or self.opened in tokens)


@dataclass(frozen=True, kw_only=True)
class Thoughts:
    """How a loaded model thinks."""

    template: ChatTemplate
    """Its chat template, with the switch set."""
    tokens: int
    """Tokens reserved for a thought, with those that close it."""
    opening: str = ""
    """Opening tag with which prompts end, so that it is missing in an answer; "" unless `thinking` is set."""
    budget: ThoughtBudget | None = None
    """Limit of a thought; None: a thought may use all the tokens of an answer."""


def read_thinking(
    thinking: str | None,
    thinking_tokens: int,
    arguments: Mapping[str, Any] | None,
    *,
    option: str,
) -> str | None:
    """Check the option `thinking` against those that it depends on, and return it as one of `MODES` or None.

    Args:
        thinking: its value; None: as the chat template does by default.
        thinking_tokens: tokens of a thought.
        arguments: arguments of the chat template.
        option: config path of the backbone, for messages.

    Raises:
        UserError: another word, or a contradiction.
    """
    mode = None if thinking is None else YAML.get(thinking, thinking)
    where = f"{option}.thinking"
    if mode is None:
        return None
    if mode not in MODES:
        raise UserError(f"unknown thinking {mode!r}", where=where, cure=f"use {', '.join(MODES)}, or null")
    for name in SWITCHES:
        if name in (arguments or {}):
            raise UserError(
                f"{option}.chat_template_kwargs sets {name} too", where=where, cure="use one of the two options"
            )
    if mode == "off" and thinking_tokens:
        raise UserError(
            f"thinking=off with thinking_tokens={thinking_tokens}",
            where=f"{option}.thinking_tokens",
            cure="use 0, or thinking=on",
        )
    if mode != "off" and not thinking_tokens:
        raise UserError(
            f"thinking={mode} without tokens for a thought",
            where=f"{option}.thinking_tokens",
            cure="give their number, e.g. 4096, or thinking=off",
        )
    return mode


def find_switch(template: ChatTemplate) -> str | None:
    """Return the argument of a chat template that switches thoughts, by rendering both ways; None without one.

    Raises:
        UserError: the template fails on a plain conversation.
    """
    for name in SWITCHES:
        if template.mentions(name):
            on, off = (
                replace(template, arguments={**template.arguments, name: value}).tokenize(PROBE)
                for value in (True, False)
            )
            if on != off:
                return name
    return None


def set_thinking(template: ChatTemplate, thinking: str | None, thinking_tokens: int) -> Thoughts:
    """Switch the thoughts of a model by its chat template.

    A model that always thinks takes `on` and `budget` if its template opens a thought.

    Args:
        template: chat template of the model.
        thinking: one of `MODES`; None: as the template does by default.
        thinking_tokens: tokens that a thought may take.

    Raises:
        UserError: the template has no switch, or the tokenizer lacks a token that a budget needs.
    """
    if thinking is None:
        return Thoughts(template=template, tokens=thinking_tokens)
    switch = find_switch(template)
    if switch is not None:
        template = replace(template, arguments={**template.arguments, switch: thinking != "off"})
    opens = template.tokenizer.decode(template.tokenize(PROBE)).rstrip().endswith(OPENED)
    if switch is None and (thinking == "off" or not opens):
        raise UserError(
            f"the chat template of this model cannot switch thoughts {'off' if thinking == 'off' else 'on'}: "
            f"it has no argument {' or '.join(SWITCHES)} that changes a prompt",
            where=f"{template.option}.thinking",
            cure="set it to null: the model thinks always or never. Or choose a model with such a switch",
        )
    budget = _budget(template, thinking_tokens, opens) if thinking == "budget" else None
    return Thoughts(
        template=template,
        tokens=thinking_tokens + (0 if budget is None else len(budget.closing)),
        opening=OPENED if opens else "",
        budget=budget,
    )


def _budget(template: ChatTemplate, tokens: int, in_prompt: bool) -> ThoughtBudget:
    tokenizer = template.tokenizer
    ids = {tag: tokenizer(tag, add_special_tokens=False)["input_ids"] for tag in (OPENED, CLOSED)}
    for tag, found in ids.items():
        if len(found) != 1 or tokenizer.decode(found, skip_special_tokens=True) != tag:
            raise UserError(
                f"the tokenizer has no token {tag} that stays in an answer",
                where=f"{template.option}.thinking",
                cure="use thinking=on: a budget needs a model that marks its thoughts so",
            )
    closing = tokenizer(CLOSING, add_special_tokens=False)["input_ids"]
    return ThoughtBudget(
        tokens=tokens, in_prompt=in_prompt, opened=ids[OPENED][0], closed=ids[CLOSED][0], closing=tuple(closing)
    )


class ThoughtCloser:
    """Logits processor of transformers that closes the thoughts of a batch when they reach the budget.

    Args:
        budget: the budget.
        ends: tokens that end an answer.
        generated: finds the tokens generated so far.
    """

    def __init__(self, budget: ThoughtBudget, ends: Sequence[int], generated: Generated) -> None:
        self._budget = budget
        self._ends = ends
        self._generated = generated

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return scores (rows, vocabulary) that leave rows with an open thought the next token of `CLOSING` alone."""
        import torch

        scores = scores.clone()
        for row, generated in enumerate(self._generated.rows(input_ids)):
            place, thought = len(generated) - self._budget.tokens, generated[: self._budget.tokens]
            under_way = self._budget.is_open(thought) and set(self._ends).isdisjoint(thought)
            if under_way and 0 <= place < len(self._budget.closing):
                scores[row] = -torch.inf
                scores[row, self._budget.closing[place]] = 0.0
        return scores
