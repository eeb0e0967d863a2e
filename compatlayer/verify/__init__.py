"""The checks: what is installed against what should be, one module per check; ``registry`` knows them all."""
