"""Questions with their reference answers: loading, grading, splitting."""
