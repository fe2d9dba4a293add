"""The command line: one file a verb; `main` is the table of contents."""
