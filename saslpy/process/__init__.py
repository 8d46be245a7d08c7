"""One process per trust: who they are, how they start, and the few questions that they may ask each other."""
