"""What models are trained on: rollouts, chains, examples and their readers."""
