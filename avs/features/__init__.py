"""Frames and sentences to vectors: encoders, their catalog, and the extraction loop."""
