"""Training: one loop for all models, its data, its checkpoints."""
