"""A question: its plan, its turn, its lists."""
