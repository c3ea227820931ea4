"""The calls that users make: solve, solve_all, and how their arguments become a search."""
