"""TRECVID's files: topics, ranked lists, run submissions, judgments, and the rules of each edition."""
