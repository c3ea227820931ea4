"""What a checkpoint's ``generation_config.json`` asks for: settings of ours, processors of logits, or a refusal.

Knows: transformers' GenerationConfig and its logits processors. Must not know: requests, rows, KV. The order and the
meaning of each setting are those of ``transformers.GenerationMixin``, tested against ``generate`` itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import transformers

Named: TypeAlias = dict[str, Any]

NEUTRAL: Named = {
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": 0,
    "remove_invalid_values": False,
    **dict.fromkeys(
        (
            *("sequence_bias", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens"),
            *("forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty"),
        )
    ),
}
"""What is applied by transformers' own processors, with the value that asks for nothing."""

REFUSED: Named = {
    "num_beams": 1,
    "num_beam_groups": 1,
    "guidance_scale": 1.0,
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "token_healing": False,
    **dict.fromkeys(
        ("top_h", "penalty_alpha", "dola_layers", "constraints", "force_words_ids", "watermarking_config", "max_time")
    ),
}
"""What ttscale does not have, with the value that asks for nothing."""


@dataclass(frozen=True, slots=True)
class CheckpointSettings:
    """A generation config, read. What it leaves out is None or empty."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    max_new_tokens: int | None = None
    max_length: int | None = None
    """Tokens of prompt and solution together."""
    stop: tuple[str, ...] = ()
    processors: tuple[tuple[str, Any], ...] = ()
    """Settings of ``NEUTRAL`` that ask for something, in the order in which transformers applies them."""


def read_generation_config(config: Any, name: str) -> CheckpointSettings:
    """What a ``transformers.GenerationConfig`` (or None: nothing) asks for.

    ``ValueError`` names a setting that ttscale does not have. A temperature and filters count only where the config
    samples or says nothing of it, as in ``generate``.
    """
    if config is None:
        return CheckpointSettings()
    if not isinstance(config, transformers.GenerationConfig):
        raise ValueError(
            f"the generation config of {name} must be a transformers.GenerationConfig or None; got {config!r:.80}"
        )
    asked = {key: getattr(config, key, None) for key in REFUSED}
    odd = [f"{key}={value!r}" for key, value in asked.items() if value is not None and value != REFUSED[key]]
    if odd:
        raise ValueError(
            f"the generation config of {name} asks for {', '.join(odd)}, which ttscale does not have; pass "
            "generation_config=None to leave the checkpoint's settings aside, or one of your own "
            "(transformers.GenerationConfig)"
        )
    sampled = getattr(config, "do_sample", None) is not False
    heat, k, p = (getattr(config, key, None) if sampled else None for key in ("temperature", "top_k", "top_p"))
    stop = getattr(config, "stop_strings", None) or ()
    chosen = ((key, getattr(config, key, None)) for key in NEUTRAL)
    return CheckpointSettings(
        temperature=heat,
        top_k=k or None,  # 0 is transformers' word for none
        top_p=p if p is None or p < 1 else None,
        min_p=(getattr(config, "min_p", None) if sampled else None) or None,
        max_new_tokens=getattr(config, "max_new_tokens", None),
        max_length=getattr(config, "max_length", None),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        processors=tuple((key, value) for key, value in chosen if value is not None and value != NEUTRAL[key]),
    )


class LogitsProcessing:
    """Penalties, bans and biases on the logits of running rows, by transformers' own processors.

    A row's logits depend on its own tokens and prompt length alone, whatever else is in the batch (law 4).
    """

    def __init__(self, settings: CheckpointSettings, eos_ids: frozenset[int], device: torch.device) -> None:
        self._settings = dict(settings.processors)
        self._max_length = settings.max_length
        self._eos, self._device = sorted(eos_ids), device
        self._made: dict[int, list[Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._settings)

    def apply(self, logits: torch.Tensor, rows: list[tuple[int, list[int]]]) -> torch.Tensor:
        """Processed logits [rows, vocabulary], fp32; ``rows``: each one's prompt length, and all of its token ids.

        Rows of equal prompt and length go through the processors together.
        """
        groups: dict[tuple[int, int], list[int]] = {}
        for place, (prompt, ids) in enumerate(rows):
            groups.setdefault((prompt, len(ids)), []).append(place)
        out = logits.clone()
        for (prompt, _), places in groups.items():
            together = torch.tensor([rows[place][1] for place in places], device=self._device)
            scores = out[places]
            for processor in self._processors(prompt):
                scores = processor(together, scores)
            out[places] = scores
        return out

    def _processors(self, prompt: int) -> list[Any]:
        """The processors for rows whose prompt has so many tokens."""
        if prompt not in self._made:
            self._made[prompt] = [
                made for name, value in self._settings.items() if (made := self._processor(name, value, prompt))
            ]
        return self._made[prompt]

    def _processor(self, name: str, value: Any, prompt: int) -> Any:
        eos: Any = torch.tensor(self._eos, device=self._device)
        device: Any = self._device
        if name == "sequence_bias":
            return transformers.SequenceBiasLogitsProcessor(value)
        if name == "repetition_penalty":
            return transformers.RepetitionPenaltyLogitsProcessor(value)
        if name == "no_repeat_ngram_size":
            return transformers.NoRepeatNGramLogitsProcessor(value)
        if name == "bad_words_ids":
            return transformers.NoBadWordsLogitsProcessor(value, eos if self._eos else None)
        if name == "min_length":
            return transformers.MinLengthLogitsProcessor(value, eos, device=device) if self._eos else None
        if name == "min_new_tokens":
            made = transformers.MinNewTokensLengthLogitsProcessor
            return made(prompt, value, eos, device=device) if self._eos else None
        if name == "forced_bos_token_id":
            return transformers.ForcedBOSTokenLogitsProcessor(value)
        if name == "forced_eos_token_id":
            most: Any = self._max_length
            return transformers.ForcedEOSTokenLogitsProcessor(most, value, device=device) if most else None
        if name == "remove_invalid_values":
            return transformers.InfNanRemoveLogitsProcessor()
        if name == "exponential_decay_length_penalty":
            return transformers.ExponentialDecayLengthPenalty(value, eos, prompt) if self._eos else None
        if name == "suppress_tokens":
            return transformers.SuppressTokensLogitsProcessor(value, device=device)
        begin = prompt + (prompt <= 1 and "forced_bos_token_id" in self._settings)
        return transformers.SuppressTokensAtBeginLogitsProcessor(value, begin, device=device)
