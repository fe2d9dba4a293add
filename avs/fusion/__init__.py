"""Fuse ranked lists into one: classic combinations, learned weights, learning to rank.

Every fuser gives a score to each candidate of a `CandidatePool`, the union of the lists of one topic. The measure to
optimise is passed in as a callable (`core.objective`).
"""
