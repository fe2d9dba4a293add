"""What is opened: shots, stores, embeddings, texts."""
