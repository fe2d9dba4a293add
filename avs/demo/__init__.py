"""The mini collection: a small rendered video collection in the formats of V3C, with topics, judgments and encoders."""
