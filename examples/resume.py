"""A run that dies loses nothing: with `resume=` every reply is on disk, and the next run goes on from there."""

import ttscale
from ttscale import reference

open("run.jsonl", "w").close()  # forget an earlier run of this example
questions = [problem.prompt for problem in reference.questions(6)]


def crash(event):
    if event["event"] == "reply" and event["key"][-1] == 5:
        raise MemoryError("the machine went down")


try:
    ttscale.solve_all(questions, budget=8, strategy="best_of_n", resume="run.jsonl", observe=crash)
except MemoryError as error:
    print(error)

fresh = []
results = ttscale.solve_all(questions, 8, strategy="best_of_n", resume="run.jsonl", observe=fresh.append)
print(sum(event["event"] == "reply" for event in fresh), "of", 6 * 8 * 2, "replies were still to be computed")
print([result.answer for result in results])
