"""Hard caps beside the budget: tokens, FLOPs, seconds. Reaching one returns the best so far and says so."""

import ttscale

question = "Compute (58 - 19) * 2 - 4 * (33 - 26) + 17 - 8"
for tokens in (200, 600, 5000):
    result = ttscale.solve(
        question, budget=32, strategy="weighted_best_of_n", limit=ttscale.Limit(tokens=tokens, seconds=60)
    )
    print(
        f"at most {tokens} tokens: {result.answer}, {result.cost.sampled_tokens} spent, stopped by {result.stopped_by}"
    )
