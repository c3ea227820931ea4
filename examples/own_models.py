"""Your own generator and verifier: any object with the right method. Here: find x with x * x = 5776 by guessing."""

import random

import ttscale


class Guesser:
    def sample(self, requests):
        # The key's seed makes each draw a function of its request, so the same call gives the same result.
        guesses = [random.Random(request.key.seed).randint(1, 100) for request in requests]
        return [ttscale.Completion((ttscale.Step(f"Answer: {x}"),), "stop") for x in guesses]


class Checker:
    def score(self, requests):
        errors = [abs(int(request.candidate.answer) ** 2 - 5776) for request in requests]
        return [ttscale.Verdict((1 / (1 + error),)) for error in errors]


for budget in (4, 16, 64, 256):
    result = ttscale.solve("x * x = 5776", budget, generator=Guesser(), verifier=Checker(), strategy="best_of_n")
    print(f"{budget:3} guesses: x = {result.answer}, score {result.score:.3f}")
