"""Vectors to ranked lists: exact, blocked, in memory that does not grow with the collection."""
