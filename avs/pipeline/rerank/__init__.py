"""A ranked list into a better order of its best shots: `avs rerank`."""
