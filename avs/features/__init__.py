"""Vectors of frames and sentences: encoders, their catalog, text features, and the extraction loop."""
