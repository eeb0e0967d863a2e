"""The half of the worker that runs beside Portage: Python 3.9, standard library and ``portage`` only, relative imports only."""
