"""Measures of runs: xinfAP as NIST computes it, measures for full judgments, significance tests, novelty."""
