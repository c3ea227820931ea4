"""From what was drawn to ``real_study.json``: every figure of the page, and nothing that is not drawn.

Knows arrays of accuracies per question. Must not know models. All accuracies of N among K samples are expectations over
subsets; all intervals are 95% bootstrap intervals over questions. The file is long because every
table of the page is made here, and tables share the same few arrays.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.real_study import gate, matched, reviser, times, transfer
from benchmarks.real_study.contrasts import CONTRASTS, Floats, interval, judge, of_groups, of_pairs
from benchmarks.real_study.draw import AGGREGATION
from benchmarks.real_study.drawn import Drawn, load
from benchmarks.real_study.plan import Plan

from ttscale.evaluation import accuracy, along_the_chain, oracle_difficulty, quantile_bins, vote
from ttscale.evaluation.collect.pool import Graded

BINS = 5
EARLIER = Path(__file__).parent / "earlier_runs.json"
"""What earlier runs found with other weights, the latest first; what they tried was not all tried again."""


def results(folder: Path, plan: Plan) -> dict[str, Any]:
    """The whole file: contrasts first."""
    drawn = load(folder, plan)
    own = drawn.graded[drawn.chosen]
    ranked = json.loads((folder / "gate.json").read_text())["rows"]
    return {
        "about": about(folder),
        "contrasts": judge(contrasts(drawn, plan), seeds_of(drawn)),
        "earlier runs": json.loads(EARLIER.read_text(encoding="utf-8")),
        "planned": [asdict(one) for one in CONTRASTS],
        "plan": {name: value for name, value in asdict(plan).items() if isinstance(value, int | tuple)},
        "generator": generator(drawn),
        "gate": {"target": gate.TARGET, "chosen": drawn.chosen, "rows": ranked},
        "test": {name: verifier_rows(graded) for name, graded in drawn.graded.items()},
        "searches": {
            str(n): {arm: interval(values) for arm, values in (arms_at(drawn, n, own) | aggregated(drawn, n)).items()}
            for n in reached(own)[1:]
        },
        "more searches": more_searches(drawn, plan),
        "weighted minus majority": by_kind(drawn, plan),
        "difficulty": difficulty(drawn, plan),
        "third contrast, same samples": by_luck(drawn, plan) if "beam" in drawn.arms else {},
        "compute optimal": optimal_rows(drawn, plan),
        "paid probe": paid_probe(drawn, own, plan),
        "revisers": reviser.rows(folder),
        "reviser": revised(drawn),
        "matched": against_larger(folder, drawn, plan),
        "transfer": transfer.rows(folder, plan),
    }


def about(folder: Path) -> dict[str, Any]:
    """What made the figures, and the time of each stage."""
    return {
        "model": "SmolLM2-135M-Instruct",
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
        "cpu seconds": times.cpu_seconds(folder),
        "seconds": times.elapsed(folder),
    }


def generator(drawn: Drawn) -> dict[str, Any]:
    """pass@1 by kind of question, and how many questions have which share of right samples."""
    graded = next(iter(drawn.graded.values()))
    shares = np.array([one.correct.mean() for one in graded])
    kinds = np.array([row.kind for row in drawn.rows])
    least = min(len(one.correct) for one in graded)
    some = per_question(graded, "oracle", least)
    edges = np.array([0, 1e-9, 0.2, 0.4, 0.6, 0.8, 1 - 1e-9, 1.01])
    return {
        "questions": len(shares),
        "samples": least,
        "pass@1": {"all": interval(shares)} | {kind: interval(shares[kinds == kind]) for kind in sorted({*kinds})},
        "any right": {kind: float(some[kinds == kind].mean()) for kind in sorted({*kinds})},
        "share of right samples": np.histogram(shares, edges)[0].tolist(),
    }


def reached(graded: Sequence[Graded]) -> list[int]:
    """The N, of those the page shows, for which some question has enough samples."""
    return [n for n in (1, 4, 16, 64) if any(len(one.correct) >= n for one in graded)]


def verifier_rows(graded: Sequence[Graded]) -> dict[str, Any]:
    """Expected accuracy of each way to choose among N samples, over the questions that have as many."""
    methods = ("majority", "best_of_n", "weighted_best_of_n", "oracle")
    found: dict[str, Any] = {}
    for n in reached(graded):
        there = [one for one in graded if len(one.correct) >= n]
        values = {method: interval(per_question(there, method, n)) for method in methods}
        found[str(n)] = {**values, "questions": len(there)}
    return found


def per_question(graded: Sequence[Graded], method: Any, n: int) -> Floats:
    """An array over the questions."""
    return np.array([accuracy(one, method, n) for one in graded])


def arms_at(drawn: Drawn, n: int, own: Sequence[Graded]) -> dict[str, Floats]:
    """Every strategy that was drawn at N, an array over the questions each."""
    own = [one for one in own if len(one.correct) >= n]
    found = {
        "majority": per_question(own, "majority", n),
        "best-of-N": per_question(own, "best_of_n", n),
        "weighted best-of-N": per_question(own, "weighted_best_of_n", n),
    }
    for arm in drawn.arms:
        if arm != AGGREGATION and reaches(drawn, arm, n):
            found[arm] = searched(drawn, arm, n)
    return found


def aggregated(drawn: Drawn, n: int) -> dict[str, Floats]:
    """Recursive aggregation by the reviser, where it was drawn at N."""
    there = AGGREGATION in drawn.arms and reaches(drawn, AGGREGATION, n)
    return {AGGREGATION: searched(drawn, AGGREGATION, n)} if there else {}


def reaches(drawn: Drawn, arm: str, n: int) -> bool:
    """Whether a search was drawn at N on all of these questions."""
    return {(arm, n, row.id) for row in drawn.rows} <= drawn.reached


def all_at(drawn: Drawn, n: int, own: Sequence[Graded]) -> dict[str, Floats]:
    """The same with recursive aggregation, and the reviser's attempts by ratio, chosen by majority."""
    found = arms_at(drawn, n, own) | aggregated(drawn, n)
    if not {1, 4} <= set(drawn.chains):
        return found
    if n == 4:
        sequential, parallel = at_four(drawn)
        return found | {"revisions 4:1": sequential, "revisions 1:4": parallel}
    large = {f"revisions {ratio}": values for ratio, values in ratios(drawn).items()}
    return found | (large if n == drawn.attempts else {})


def searched(drawn: Drawn, arm: str, n: int) -> Floats:
    """Share of right answers of a search, over the seeds, for each question."""
    records = drawn.searches
    assert records is not None
    seeds = drawn.arms[arm]
    return np.array([np.mean([records.get(arm, n, seed, row.id).correct for seed in seeds]) for row in drawn.rows])


def more_searches(drawn: Drawn, plan: Plan) -> dict[str, Any]:
    """Every strategy at the largest budget on the questions that have more samples."""
    part, own, _ = apart(drawn, plan)
    n = plan.budgets[-1]
    arms = arms_at(part, n, own) | aggregated(part, n)
    return {"N": n, "questions": len(own), "arms": {arm: interval(values) for arm, values in arms.items()}}


def difficulties(own: Sequence[Graded]) -> dict[str, Floats]:
    """Oracle: 1 - pass@1. Predicted: 1 - the mean final score of the same samples, without labels."""
    oracle = oracle_difficulty(own)
    return {
        "oracle": np.array([oracle[one.question] for one in own]),
        "predicted": np.array([1 - float(np.nan_to_num(one.scores).mean()) for one in own]),
    }


def bins_of(values: Floats, own: Sequence[Graded], count: int) -> Any:
    """Bins of equal size, 0 the easiest; ties are split by a hash of the question."""
    given = {one.question: float(value) for one, value in zip(own, values, strict=True)}
    bins = quantile_bins(given, count, ties="split").of
    return np.array([bins[one.question] for one in own])


def apart(drawn: Drawn, plan: Plan) -> tuple[Drawn, list[Graded], list[Graded]]:
    """The questions that have more samples than the largest budget: the samples that strategies choose from, and those
    that difficulty is read off. Were they the same, luck in them would make questions easy or hard and votes right or
    wrong at once, and a search that draws its own would seem to help on the hard ones. All questions, and the same
    samples, where none has more."""
    most = plan.budgets[-1]
    kept = deep(drawn, most + 1)
    if not kept.any():
        return drawn, [*drawn.graded[drawn.chosen]], [*drawn.graded[drawn.chosen]]
    part = drawn.only(kept)
    own = part.graded[part.chosen]
    return part, [some(one, slice(most)) for one in own], [some(one, slice(most, None)) for one in own]


def some(one: Graded, which: slice) -> Graded:
    """Some of a question's samples."""
    return Graded(one.question, one.correct[which], one.classes[which], one.scores[which], one.tokens[which])


def difficulty(drawn: Drawn, plan: Plan) -> dict[str, Any]:
    """Accuracy of every strategy by bin, and how far the two kinds of bins agree."""
    part, own, others = apart(drawn, plan)
    kinds = {kind: bins_of(values, own, BINS) for kind, values in difficulties(others).items()}
    n = plan.budgets[-1]
    arms = arms_at(part, n, own)
    return {
        "N": n,
        "questions": len(own),
        "same bin": float((kinds["oracle"] == kinds["predicted"]).mean()),
        "bins": {
            kind: [{arm: interval(values[bins == bin_]) for arm, values in arms.items()} for bin_ in range(BINS)]
            for kind, bins in kinds.items()
        },
    }


def harder_minus_easier(drawn: Drawn, plan: Plan, same: bool = False) -> tuple[float, Floats, int]:
    """The third contrast as ``judge`` takes it; ``same``: with difficulty read off the vote's own samples."""
    part, own, others = apart(drawn, plan)
    most = plan.budgets[-1]
    ahead = searched(part, "beam", most) - per_question(own, "weighted_best_of_n", most)
    hard = bins_of(difficulties(own if same else others)["oracle"], own, 2) == 1
    return (*of_groups(ahead[hard], ahead[~hard]), len(own))


def by_luck(drawn: Drawn, plan: Plan) -> dict[str, float]:
    """What the third contrast would be with difficulty read off the vote's own samples."""
    difference, draws, _ = harder_minus_easier(drawn, plan, same=True)
    low, high = np.percentile(draws, [2.5, 97.5]).tolist()
    return {"value": round(difference, 4), "low": round(low, 4), "high": round(high, 4)}


def by_kind(drawn: Drawn, plan: Plan) -> dict[str, Any]:
    """The first contrast on natural and on templated questions alone."""
    own, most = drawn.graded[drawn.chosen], plan.budgets[-1]
    gain = per_question(own, "weighted_best_of_n", most) - per_question(own, "majority", most)
    natural = np.array([row.kind == "natural" for row in drawn.rows])
    return {"natural": interval(gain[natural]), "templated": interval(gain[~natural])}


def optimal(arms: Mapping[str, Floats], bins: Any, ids: Sequence[str]) -> tuple[Floats, list[list[str]]]:
    """Per bin the arm that is best on one half of its questions, scored on the other half, and the other way round;
    with the arms that were chosen, [bin][fold]."""
    folds = np.array([int(id[-1], 16) % 2 for id in ids])
    found = np.zeros(len(ids))
    choices = []
    for bin_ in sorted({*bins.tolist()}):
        chosen = []
        for fold in (0, 1):
            here, there = (bins == bin_) & (folds == fold), (bins == bin_) & (folds != fold)
            seen = here if here.any() else there
            best = max(arms, key=lambda arm: float(arms[arm][seen].mean()))
            found[there] = arms[best][there]
            chosen.append(best)
        choices.append(chosen)
    return found, choices


def optimal_rows(drawn: Drawn, plan: Plan) -> dict[str, Any]:
    """The cross-validated choice at each budget with both kinds of bins, beside the best fixed strategy; at the largest
    N on the questions that have as many samples."""
    found: dict[str, Any] = {}
    for n in dict.fromkeys((*plan.budgets, plan.many_samples)):
        part = drawn.only(deep(drawn, n))
        own, ids = part.graded[part.chosen], [row.id for row in part.rows]
        if not own:
            continue
        menus = {"search": arms_at(part, n, own), "search and revisions": all_at(part, n, own)}
        if menus["search"].keys() == menus["search and revisions"].keys():
            del menus["search and revisions"]
        for menu, arms in menus.items():
            best = max(arms, key=lambda arm: float(arms[arm].mean()))
            row: dict[str, Any] = {"questions": len(own), "best fixed": best, "accuracy": interval(arms[best])}
            for kind, values in difficulties(own).items():
                picked, choices = optimal(arms, bins_of(values, own, BINS), ids)
                row[kind] = {
                    "accuracy": interval(picked),
                    "choices": choices,
                    "minus best fixed": interval(picked - arms[best]),
                }
            found[f"{n}, {menu}"] = row
    return found


def deep(drawn: Drawn, n: int) -> Any:
    """Which questions have n samples."""
    return np.array([len(one.correct) >= n for one in drawn.graded[drawn.chosen]])


def against_larger(folder: Path, drawn: Drawn, plan: Plan) -> dict[str, Any]:
    """The generator's greedy answers against N of a smaller model's samples, chosen among in the way that is best in a
    question's predicted bin on other questions. Difficulty is the generator's, over samples that nothing here reads."""
    if plan.layers is None or not matched.sizes_file(folder).is_file():
        return {}
    small = matched.samples(folder, plan)
    own = small.graded()
    there = {one.question for one in own}
    oracle = bins_of(
        difficulties([one for one in drawn.graded[drawn.chosen] if one.question in there])["oracle"], own, BINS
    )
    predicted = bins_of(difficulties(own)["predicted"], own, BINS)
    methods = ("majority", "best_of_n", "weighted_best_of_n")
    arms = {
        n: optimal({way: per_question(own, way, n) for way in methods}, predicted, [one.question for one in own])[0]
        for n in range(1, small.size + 1)
    }
    return matched.rows(folder, plan, small, arms, per_question(own, "pass@1", 1), oracle)


def paid_probe(drawn: Drawn, own: Sequence[Graded], plan: Plan) -> dict[str, Any]:
    """Bins predicted from the first four samples, which are paid for: votes and best-of-N go on from them, searches
    begin anew with what is left. The choice is cross-validated as above."""
    n, probe = plan.budgets[-1], 4
    if n <= 2 * probe:
        return {}
    seen = [replace(one, scores=one.scores[:probe]) for one in own]
    bins = bins_of(difficulties(seen)["predicted"], own, BINS)
    arms = {name: values for name, values in arms_at(drawn, n, own).items() if name not in drawn.arms}
    fixed = max(arms, key=lambda arm: float(arms[arm].mean()))
    arms |= {f"{arm}, N = {probe}": searched(drawn, arm, probe) for arm in drawn.arms if reaches(drawn, arm, probe)}
    picked, choices = optimal(arms, bins, [row.id for row in drawn.rows])
    found = {"N": n, "probe": probe, "choices": choices, "accuracy": interval(picked), "best fixed": fixed}
    return found | {"minus best fixed": interval(picked - arms[fixed])}


def seeds_of(drawn: Drawn) -> dict[str, Sequence[int]]:
    """The seeds of the contrasts that read searches; samples and chains have one."""
    read = {1: "beam", 2: "beam", 3: "lookahead k = 1"}
    return {CONTRASTS[at].name: drawn.arms[arm] for at, arm in read.items() if arm in drawn.arms}


def revised(drawn: Drawn) -> dict[str, Any]:
    """Along the chain, and sequential against parallel at equal N by bin of the generator's difficulty."""
    if not {1, 4} <= set(drawn.chains):
        return {}
    own = drawn.graded[drawn.chosen]
    steps = along_the_chain(drawn.chains[4])
    sequential, parallel = at_four(drawn)
    bins = bins_of(difficulties(own)["oracle"], own, BINS)
    large = ratios(drawn)
    return {
        "N": drawn.attempts,
        "steps": [asdict(step) for step in steps],
        "N = 4": {"sequential": interval(sequential), "parallel": interval(parallel)},
        "large N, by the verifier": {
            name: interval(values)
            for name, values in ratios(drawn, weighted=True).items()
            if not all(np.isnan(one.scores).all() for one in drawn.together[1])
        },
        "large N by bin": {
            name: [interval(values[bins == bin_]) for bin_ in range(BINS)] for name, values in large.items()
        },
        "N = 4 by bin": [interval((sequential - parallel)[bins == bin_]) for bin_ in range(BINS)],
        "large N": {name: interval(values) for name, values in large.items()},
        "generator's majority": interval(per_question(own, "majority", drawn.attempts)),
        "generator's pass@1": interval(per_question(own, "pass@1", 1)),
    }


def at_four(drawn: Drawn) -> tuple[Floats, Floats]:
    """Majority over a chain of four, mean over the chains; over four of the first attempts, mean over subsets."""
    sequential = [np.mean([vote(chain, 4, weighted=False) for chain in own]) for own in drawn.chains[4]]
    return np.array(sequential), np.array([vote(own, 4, weighted=False) for own in drawn.together[1]])


def ratios(drawn: Drawn, weighted: bool = False) -> dict[str, Floats]:
    """Majority over all attempts, or the vote weighted by the verifier, by length : number of chains."""
    return {
        f"{length}:{len(drawn.chains[length][0])}": np.array(
            [vote(one, len(one.correct), weighted=weighted) for one in drawn.together[length]]
        )
        for length in sorted(drawn.chains)
    }


def contrasts(drawn: Drawn, plan: Plan) -> dict[str, tuple[float, Floats, int]]:
    """The primary contrasts that what is there allows, as ``judge`` takes them."""
    own = drawn.graded[drawn.chosen]
    small, large = plan.budgets[0], plan.budgets[-1]
    names = [contrast.name for contrast in CONTRASTS]
    hard = bins_of(difficulties(own)["oracle"], own, 2) == 1
    weighted = {n: per_question(own, "weighted_best_of_n", n) for n in {small, large}}
    count = len(own)
    found = {names[0]: (*of_pairs(weighted[large], per_question(own, "majority", large)), count)}
    if "beam" in drawn.arms:
        beam = {n: searched(drawn, "beam", n) for n in {small, large}}
        found[names[1]] = (*of_pairs(beam[small], weighted[small]), count)
        found[names[2]] = harder_minus_easier(drawn, plan)
        if "lookahead k = 1" in drawn.arms:
            found[names[3]] = (*of_pairs(searched(drawn, "lookahead k = 1", large), beam[large]), count)
    many = deep(drawn, 64)
    if many.any():
        bins = bins_of(difficulties(own)["predicted"], own, BINS)
        picked, _ = optimal(arms_at(drawn, large, own), bins, [row.id for row in drawn.rows])
        fixed = arms_at(drawn.only(many), 64, list(itertools.compress(own, many)))
        best = max(fixed.values(), key=lambda values: float(values.mean()))
        found[names[4]] = (*of_pairs(picked[many], best), int(many.sum()))
    if {1, 4} <= set(drawn.chains):
        first, fourth = (np.array([np.mean([c.correct[at] for c in q]) for q in drawn.chains[4]]) for at in (0, 3))
        found[names[5]] = (*of_pairs(fourth, first), count)
        sequential, parallel = at_four(drawn)
        found[names[6]] = (*of_pairs(sequential, parallel), count)
        gain = sequential - parallel
        found[names[7]] = (*of_groups(gain[~hard], gain[hard]), count)
    return found
