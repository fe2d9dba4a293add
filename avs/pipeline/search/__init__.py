"""Stores and trained models into ranked lists: `avs search`, `avs eval-retrieval`."""
