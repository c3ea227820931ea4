"""Scale LLM test-time compute: sample, verify, search, revise, and spend a budget of generations where it pays."""
