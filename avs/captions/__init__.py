"""Captioned collections: readers of the files in which they are published."""
