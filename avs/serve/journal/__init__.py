"""What users did, as files: marks, questions, sessions, and asking them again."""
