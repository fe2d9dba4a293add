"""Runs and judgments in, numbers out: xinfAP as NIST computes it, measures for full judgments, tests, novelty."""
