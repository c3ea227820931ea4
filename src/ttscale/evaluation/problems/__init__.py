"""Questions with their reference answers, for evaluation and for training: one `Problem`, loaders, grading, splits.

Knows file formats, reference answers and which answers are equal. Must not know models or strategies: what is searched
with is ``Problem.question``, which holds no answer.
"""
