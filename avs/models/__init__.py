"""Retrieval models: what they compute, and nothing of files, options or training."""
