"""One file per family of reward models: what its checkpoints look like and how they read a solution."""
