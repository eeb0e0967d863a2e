"""The declaration: layer.yaml, sets/*.yaml and config/, read once at the edge into frozen values (``model``)."""
