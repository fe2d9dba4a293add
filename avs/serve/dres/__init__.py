"""Submitting to an evaluation server (DRES): its API, the queue, and the thread of it all."""
