"""Which strategy for which money: accuracy and tokens of each on the same 20 questions."""

import ttscale
from ttscale import reference

problems = reference.questions(20, level=4)
for strategy in ("majority_vote", "best_of_n", "weighted_best_of_n", "beam"):
    results = ttscale.solve_all([problem.prompt for problem in problems], budget=8, strategy=strategy)
    right = sum(result.answer == problem.answer for result, problem in zip(results, problems, strict=True))
    tokens = sum(result.cost.sampled_tokens for result in results)
    print(f"{strategy:18} {right:2} of {len(problems)} right, {tokens} tokens sampled")
