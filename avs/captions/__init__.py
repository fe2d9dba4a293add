"""Captioned collections: the files they are published in, read into one form."""
