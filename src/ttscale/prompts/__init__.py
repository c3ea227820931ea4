"""How a question is put to a model: prompt formats as data, their tokens, and where solutions fall into steps."""

from ttscale.prompts.layouts import (
    FOUR_SHOT,
    QWEN_MATH,
    REVISION_REQUEST,
    SEARCH_AND_LEARN,
    SYSTEM_PROMPT,
    THINKING,
    Family,
    PromptFormat,
    chat_turns,
    family_of,
    fill,
    plain_text,
    split_steps,
    whole_characters,
)

__all__ = [
    "FOUR_SHOT",
    "QWEN_MATH",
    "REVISION_REQUEST",
    "SEARCH_AND_LEARN",
    "SYSTEM_PROMPT",
    "THINKING",
    "Family",
    "PromptFormat",
    "chat_turns",
    "family_of",
    "fill",
    "plain_text",
    "split_steps",
    "whole_characters",
]
