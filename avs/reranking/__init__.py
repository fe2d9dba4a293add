"""Rerank a list by what its shots look like: evidence per topic and shot, blended with the scores in the list."""
