"""A recipe of captioned collections into a trained model: `avs train-...`."""
