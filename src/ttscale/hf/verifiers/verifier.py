"""``HFVerifier``: a reward model from Hugging Face as a verifier, whatever its family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from torch import device as Device
from torch import dtype as DType

from ttscale.core.checks import check_choice
from ttscale.core.requests import Score, Verdict
from ttscale.core.selection import Aggregate
from ttscale.core.unscored import OnError, check_on_error, settle
from ttscale.hf.model import HFModel
from ttscale.hf.verifiers.adapter import Adapter
from ttscale.hf.verifiers.families.detect import Family, adapter_for, family_of_loaded, load, verifier_family
from ttscale.hf.verifiers.scorer import Scorer


class HFVerifier:
    """Scores candidates with a checkpoint's own head.

    ``model`` is a local folder, a hub id, or an ``HFModel`` that holds the head already. ``family`` says whose format
    it is; by default it is read from the checkpoint. ``separator`` is for PRMs trained with TRL: what ends a step
    there. ``aggregate`` is what suits the step scores, for strategies that ask. One forward scores all steps of a
    candidate; what this verifier has scored before is not run again. ``on_error``: a candidate that cannot be judged
    ends its question ("raise"), or competes without a score ("unscored"); None lets only what is too long compete so.
    Solutions and attempts are read without their thoughts, unless ``thoughts`` is True; a step that was all thought
    scores 1, which changes no product and no minimum. A solution that has said nothing yet is read as it stands.
    """

    def __init__(
        self,
        model: HFModel | str,
        *,
        family: Family | None = None,
        separator: str | None = None,
        device: str | Device | None = None,
        dtype: str | DType | None = None,
        allow_pickle: bool = False,
        thoughts: bool = False,
        on_error: OnError | None = None,
    ) -> None:
        self.on_error = check_on_error(on_error)
        if family is not None:
            check_choice("family", family, get_args(Family))
        self.adapter: Adapter
        if isinstance(model, HFModel):
            if device is not None or dtype is not None or allow_pickle:
                raise ValueError("device, dtype and allow_pickle belong to the HFModel when one is given")
            self.family: Family = family or family_of_loaded(model)
            self.model = model
            self.adapter = adapter_for(model, self.family, separator)
        else:
            self.family = family or verifier_family(str(model))
            self.model, self.adapter = load(str(model), self.family, separator, device, dtype, allow_pickle)
        self.aggregate: Aggregate = self.adapter.aggregate
        self.name = self.model.name
        self.worker = self.model.worker
        self.weights = (self.model.name,)
        self.sampling: dict[str, object] = {"thoughts": True} if thoughts else {}
        self._scorer = Scorer(self.model, self.adapter, thoughts)

    def score(self, requests: Sequence[Score], /) -> list[Verdict]:
        """One verdict per request: a probability per step, or one for the whole of it (outcome models)."""
        return settle(self._scorer.score(requests), self.on_error)

    def __repr__(self) -> str:
        return f"HFVerifier({self.name!r}, family={self.family!r})"
