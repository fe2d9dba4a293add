"""Work on a Ray cluster: where actors go, what nodes must have, and how the work is given out. Ray is optional."""
