"""Trees as values: what is in one (``manifest``), and what one changes in another (``changes``)."""
