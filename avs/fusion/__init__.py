"""Ranked lists to one ranked list: classic combinations, learned weights, learning to rank.

Everything works on a `CandidatePool`, the union of the lists of one topic, and gives each candidate a score. What is to
be optimised comes in as a callable (`core.objective`).
"""
