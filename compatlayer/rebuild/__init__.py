"""Building a part a second time, by somebody else as it were, and saying in what the two builds differ and why."""
