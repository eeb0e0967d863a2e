"""Source files: where they come from, and our own verified store of them."""
