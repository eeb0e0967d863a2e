"""Binary packages: what was built once, kept under a key of all that went in, and used where the key is the same."""
