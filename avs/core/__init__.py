"""The nouns of avs: ids, topics, shots, ranked lists, judgments, stores. numpy and the standard library only."""
