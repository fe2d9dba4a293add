"""Networks of encoders that transformers does not have, one a file, in the names of their published weights."""
