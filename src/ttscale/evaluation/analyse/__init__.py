"""Numbers from stored results: difficulty, estimators, policies, FLOPs. No model is asked here."""
