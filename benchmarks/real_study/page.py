"""Fill ``docs/real-study.md`` from ``real_study.json``: every table between its marks, and the figures.

    python -m benchmarks.real_study.page

Knows the stored results and the page. Must not know models. Prose stands in the page; numbers stand between marks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from benchmarks.real_study.plan import PAGE, RESULTS

from ttscale.evaluation import Interval
from ttscale.evaluation.report import matplotlib
from ttscale.evaluation.report.figure_data import Figure, Panel, Series, series

MARK = re.compile(r"(<!-- real study: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
NUMBER = re.compile(r"−?\.?\d")
FIGURES = PAGE.parent / "figures"
METHODS = (("majority", "majority"), ("best_of_n", "best-of-N"), ("weighted_best_of_n", "weighted best-of-N"))


def cell(found: Mapping[str, float] | None) -> str:
    """A value with its interval."""
    if found is None:
        return ""
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]".replace("0.", ".").replace("-.", "−.")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: columns of numbers to the right, the first column and columns of words to the left."""
    columns = list(zip(*rows, strict=True))[1:]
    sides = ["--:" if all(NUMBER.match(own) for own in column if own) else "---" for column in columns]
    lines = [header, ["---", *sides], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def contrasts(found: Mapping[str, Any]) -> str:
    """The primary contrasts, those not drawn too."""
    rows, before = [], []
    drawn, *others = (
        {row["name"]: row for row in own}
        for own in (found["contrasts"], *(run["contrasts"] for run in found["earlier runs"]))
    )
    for number, planned in enumerate(found["planned"], 1):
        row = drawn.get(planned["name"])
        verdict = "not drawn" if row is None else row["verdict"]
        shown = verdict if verdict in ("not shown", "not drawn") else f"**{verdict}**"
        rows.append([str(number), planned["name"], planned["paper"], difference(row), shown])
        before.append([str(number), *(difference(own.get(planned["name"])) for own in others)])
    counts = {verdict: sum(row["verdict"] == verdict for row in drawn.values()) for verdict in VERDICTS}
    summary = ", ".join(f"{many} {verdict}" for verdict, many in counts.items())
    count = next(iter(drawn.values()))["questions"]
    earlier = [f"{run['name']} ({run['questions']} questions)" for run in found["earlier runs"]]
    return (
        f"{summary} ({count} test questions):\n\n"
        + table(["", "difference of", "the paper", "here", "verdict"], rows)
        + "\n\nWhat earlier runs found:\n\n"
        + table(["", *earlier], before)
    )


def difference(row: Mapping[str, Any] | None) -> str:
    """Of a contrast, with its interval."""
    return "" if row is None else cell({"value": row["difference"], "low": row["low"], "high": row["high"]})


VERDICTS = ("same", "opposite", "not shown")


def generator(found: Mapping[str, Any]) -> str:
    """pass@1 by kind of question, and the spread of difficulty."""
    own = found["generator"]
    kinds = [kind for kind in own["pass@1"] if kind != "all"]
    rows = [[kind, cell(own["pass@1"][kind]), f"{own['any right'][kind]:.2f}"] for kind in kinds]
    rows.append(["all", cell(own["pass@1"]["all"]), ""])
    spread = own["share of right samples"]
    shares = ["0", "to .2", "to .4", "to .6", "to .8", "below 1", "1"]
    first = table(["questions", "pass@1", f"any of {own['samples']} right"], rows)
    return first + "\n\n" + table(["share of right samples", *shares], [["questions", *map(str, spread)]])


def gate(found: Mapping[str, Any]) -> str:
    """Every recipe on the validation questions, best first."""
    own = found["gate"]
    rows = sorted(own["rows"].items(), key=lambda item: -item[1]["pair accuracy"]["value"])
    most = [name for name in rows[0][1] if name.startswith("N = ")][-1]
    header = ["verifier", "pair accuracy", "natural", "templated", f"best of {most[4:]}", "weighted", "majority"]
    lines = []
    for name, row in rows:
        mark = " (searches with)" if name == own["chosen"] else ""
        pairs = [f"{row['kinds'][kind]['value']:.3f}"[1:] for kind in ("natural", "templated")]
        methods = ("best-of-N", "weighted best-of-N", "majority")
        chosen = [cell(row[most].get(method)) for method in methods]
        lines.append([name + mark, cell(row["pair accuracy"]), *pairs, *chosen])
    runs = found["earlier runs"]
    recipes = dict.fromkeys(recipe for run in runs for recipe in run["gate"])
    earlier = [[recipe, *(cell(run["gate"].get(recipe)) for run in runs)] for recipe in recipes]
    return (
        table(header, lines)
        + "\n\nPair accuracies of every recipe that an earlier run tried:\n\n"
        + table(["verifier", *(run["name"] for run in runs)], earlier)
    )


def test(found: Mapping[str, Any]) -> str:
    """Selection among samples of the test questions with every verifier."""
    budgets = [n for n in next(iter(found["test"].values())) if n != "1"]
    rows = []
    first = next(iter(found["test"].values()))
    rows.append(["pass@1 (N = 1)", *[cell(first["1"]["majority"])] * len(budgets)])
    rows.append(["majority", *(cell(first[n]["majority"]) for n in budgets)])
    for name, own in found["test"].items():
        for method, label in METHODS[1:]:
            rows.append([f"{label}: {name}", *(cell(own.get(n, {}).get(method)) for n in budgets)])
    rows.append(["any right", *(cell(first[n]["oracle"]) for n in budgets)])
    rows.append(["questions", *(str(first[n]["questions"]) for n in budgets)])
    kinds = " and ".join(f"{cell(gain)} on {kind} questions" for kind, gain in found["weighted minus majority"].items())
    return table(["", *(f"N = {n}" for n in budgets)], rows) + f"\n\nThe first contrast is {kinds}."


def searches(found: Mapping[str, Any]) -> str:
    """Every strategy with the chosen verifier."""
    budgets = list(found["searches"])
    arms = list(dict.fromkeys(arm for n in budgets for arm in found["searches"][n]))
    fewer = found["more searches"]
    arms += [arm for arm in fewer["arms"] if arm not in arms]
    columns = [*(found["searches"][n] for n in budgets), fewer["arms"]]
    rows = [[arm, *(cell(column.get(arm)) for column in columns)] for arm in arms]
    header = ["strategy", *(f"N = {n}" for n in budgets), f"N = {fewer['N']}, the first {fewer['questions']}"]
    return table(header, rows)


def bins(found: Mapping[str, Any]) -> str:
    """Accuracy by oracle difficulty."""
    own = found["difficulty"]
    rows = [[arm, *(cell(bin_[arm]) for bin_ in own["bins"]["oracle"])] for arm in own["bins"]["oracle"][0]]
    header = [f"N = {own['N']}", *(f"bin {number}" for number in range(1, len(own["bins"]["oracle"]) + 1))]
    agree = f"Predicted bins put {own['same bin']:.0%} of the questions into their oracle bin (chance: 20%)."
    luck = cell(found["third contrast, same samples"])
    third = f"With difficulty read off the vote's own samples the third contrast would be {luck}."
    return table(header, rows) + f"\n\n{agree} {third}"


def optimal(found: Mapping[str, Any]) -> str:
    """The cross-validated choice beside the best fixed strategy."""
    rows = []
    for name, own in found["compute optimal"].items():
        for kind in ("oracle", "predicted"):
            picked = own[kind]
            choices = "; ".join(" / ".join(dict.fromkeys(pair)) for pair in picked["choices"])
            fixed = f"{own['best fixed']} {cell(own['accuracy'])}"
            difference = cell(picked["minus best fixed"])
            rows.append([f"{name}, {kind}", cell(picked["accuracy"]), fixed, difference, choices])
    header = [
        "N, menu, bins",
        "compute-optimal",
        "best fixed",
        "difference",
        "chosen, easiest bin first (fold 1 / fold 2)",
    ]
    paid = found["paid probe"]
    if not paid:
        return table(header, rows)
    return table(header, rows) + (
        f"\n\nPaid: bins predicted from the first {paid['probe']} of {paid['N']} samples, which votes and best-of-N go "
        f"on from and searches do not: {cell(paid['accuracy'])}, minus the best fixed vote or best-of-N "
        f"({paid['best fixed']}) {cell(paid['minus best fixed'])}."
    )


def reviser(found: Mapping[str, Any]) -> str:
    """Along the chain; sequential against parallel."""
    own = found["reviser"]
    if not own:
        return "Not drawn."
    rows = []
    for step in own["steps"]:
        shares = [step[name] for name in ("repaired", "broken", "repeated")]
        shown = ["" if share is None else f"{share:.2f}" for share in shares]
        rows.append([str(step["step"]), cell(step["pass_at_1"]), cell(step["gain"]), *shown])
    header = ["attempt", "pass@1", "gain on the first", "wrong made right", "right made wrong (paper: .38)", "repeated"]
    text = table(header, rows) + "\n\n"
    n = str(own["N"])
    arms = [["4", "one chain of 4", cell(own["N = 4"]["sequential"])], ["4", "4 first", cell(own["N = 4"]["parallel"])]]
    arms += [[n, name, cell(value)] for name, value in own["large N"].items()]
    arms += [[n, f"{name}, weighted by the verifier", cell(v)] for name, v in own["large N, by the verifier"].items()]
    arms.append([n, "generator's majority", cell(own["generator's majority"])])
    arms.append(["1", "generator", cell(own["generator's pass@1"])])
    text += table(["N", "sequential : parallel, majority", "accuracy"], arms) + "\n\n"
    by_bin = own["N = 4 by bin"]
    header = ["sequential minus parallel, N = 4", *(f"bin {number}" for number in range(1, len(by_bin) + 1))]
    text += table(header, [["difference", *map(cell, by_bin)]]) + "\n\n"
    header = [f"majority of {n}", *header[1:]]
    return text + table(header, [[name, *map(cell, own_bins)] for name, own_bins in own["large N by bin"].items()])


def revisers(found: Mapping[str, Any]) -> str:
    """The reviser on the test questions, those on the validation questions, and those of earlier runs."""
    if not found["reviser"]:
        return "Not drawn."
    own = found["revisers"]
    label = f"{own['chosen']}, {examples(found)} examples"
    tried = {f"{label} ({found['generator']['questions']} test questions)": found["reviser"]["steps"]}
    tried |= {f"{name} (validation questions)": steps for name, steps in own["rows"].items() if steps}
    for run in found["earlier runs"]:
        what = f"{run['reviser name']}, {run['reviser examples']} examples"
        tried[f"{what} ({run['name']}, {run['questions']} test questions)"] = run["reviser"]
    rows = []
    for name, steps in tried.items():
        shares = [np.mean([step[key] for step in steps[1:]]) for key in ("repaired", "broken")]
        rows.append(
            [name, cell(steps[0]["pass_at_1"]), cell(steps[-1]["pass_at_1"]), *(f"{share:.2f}" for share in shares)]
        )
    return table(["reviser", "first attempt", "fourth", "wrong made right", "right made wrong"], rows)


def examples(found: Mapping[str, Any]) -> int:
    """How many a reviser is trained on."""
    return int(found["plan"]["revisions"])


def transfer(found: Mapping[str, Any]) -> str:
    """Other questions, the same models."""
    rows = []
    ways = ("pass@1", "majority", "best_of_n", "weighted_best_of_n", "oracle", "best_of_n minus majority")
    for name, own in found["transfer"].items():
        rows.append([f"{name}, {own['questions']} questions, N = {own['N']}", *(cell(own[way]) for way in ways)])
    header = ["", "pass@1", "majority", "best-of-N", "weighted", "any right", "best-of-N minus majority"]
    return table(header, rows) if rows else "Not drawn."


def matched(found: Mapping[str, Any]) -> str:
    """The larger model against what the smaller one makes of the FLOPs."""
    own = found["matched"]
    if not own:
        return "Not drawn."
    bins = [f"bin {number}" for number in range(1, len(own["larger minus one sample"]))]
    cost = ", ".join(f"{what} {flops / 1e9:.1f}" for what, flops in own["flops"].items())
    right = f"Larger, greedy: {cell(own['larger'])}. Smaller, one sample: {cell(own['smaller, one sample'])}."
    lines = [f"GFLOPs: {cost}. Parameters: {own['scale']:.2f} times as many. {right}"]
    rows = [["larger, greedy, minus one sample of the smaller", "1", *map(cell, own["larger minus one sample"])]]
    for ratio, row in own["R"].items():
        what = f"smaller minus larger, R = {ratio}"
        rows.append([what, str(row["N"]), *map(cell, row["minus larger"])])
    return lines[0] + "\n\n" + table(["", "N", "all", *bins], rows)


def about(found: Mapping[str, Any]) -> str:
    """What was measured with what, and what it cost."""
    own, plan = found["about"], found["plan"]
    rows = [
        ["model", own["model"]],
        ["questions (natural, templated of each of 1 to 4 steps)", questions(plan)],
        ["seeds", ", ".join(map(str, plan["seeds"]))],
        ["versions", ", ".join(f"{name} {number}" for name, number in own["versions"].items())],
        ["all of it", f"{own['seconds'] / 60:.0f} minutes, two stages at a time"],
        ["CPU seconds", ", ".join(f"{name} {count}" for name, count in own["cpu seconds"].items())],
    ]
    return table(["", ""], rows)


def questions(plan: Mapping[str, Any]) -> str:
    """How many of each part."""
    return ", ".join(
        f"{part} {plan[part][0]} + 4 x {plan[part][1]}" for part in ("sft", "train", "worked", "validation", "test")
    )


PARTS = {
    "about": about,
    "contrasts": contrasts,
    "generator": generator,
    "gate": gate,
    "test": test,
    "searches": searches,
    "bins": bins,
    "optimal": optimal,
    "revisers": revisers,
    "reviser": reviser,
    "matched": matched,
    "transfer": transfer,
}


def write_page(page: str, found: Mapping[str, Any]) -> str:
    """The page with what stands between its marks as stored."""
    return MARK.sub(lambda match: f"{match[1]}\n{PARTS[match[2]](found)}\n\n{match[3]}", page)


def figure(found: Mapping[str, Any]) -> Figure:
    """Accuracy against N with the chosen verifier, and by bin."""
    own = found["test"][found["gate"]["chosen"]]
    lines = [
        series(label, [(float(n), Interval(**row[method])) for n, row in own.items()]) for method, label in METHODS
    ]
    for arm in dict.fromkeys(arm for row in found["searches"].values() for arm in row):
        if arm not in [label for _, label in METHODS]:
            points = [(float(n), Interval(**row[arm])) for n, row in found["searches"].items() if arm in row]
            lines.append(series(arm, points))
    difficulty = found["difficulty"]
    rows = difficulty["bins"]["oracle"]
    bars: list[Series] = [
        series(arm, [(float(place), Interval(**row[arm])) for place, row in enumerate(rows)]) for arm in rows[0]
    ]
    ticks = tuple(str(number) for number in range(1, len(rows) + 1))
    panels = (
        Panel("against N", "N", "accuracy", tuple(lines), log_x=True),
        Panel(f"by difficulty, N = {difficulty['N']}", "bin, 1 easiest", "accuracy", tuple(bars), "bars", ticks=ticks),
    )
    return Figure("real_study", "A real model", "Accuracy against N, and by difficulty.", panels)


def main() -> None:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(write_page(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    (FIGURES / "real_study.svg").write_text(matplotlib.to_svg(figure(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
