"""The mini collection: a small V3C-shaped video collection, rendered, with topics, judgments and three encoders."""
