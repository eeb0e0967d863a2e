# The two commands of the README are `make demo` and `make test`; each does all the set-up it needs. `make help` lists the rest.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV   := .venv
PYTEST := $(VENV)/bin/python -m pytest
PIP    := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet

# An environment whose Python went away (an upgrade, a moved directory) is made anew.
ifneq ($(wildcard $(VENV)/.installed),)
ifeq ($(shell test -x $(VENV)/bin/python && echo yes),)
$(shell rm -f $(VENV)/.installed $(VENV)/.lint-installed)
endif
endif

.PHONY: demo
demo: host-tools $(VENV)/.installed  ## build this repository's layer, verify it, and say how to enter it
	@$(VENV)/bin/compatlayer demo

.PHONY: demo-full
demo-full: host-tools $(VENV)/.installed  ## the same with a larger layer: compiler tools, interpreters
	@$(VENV)/bin/compatlayer --layer-version 2027.05 demo

.PHONY: test
test: host-tools $(VENV)/.installed  ## the tests, without those that take minutes
	@$(PYTEST) -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: test-all
test-all: host-tools $(VENV)/.installed  ## all tests
	@$(PYTEST) -n auto --dist loadfile --no-loadscope-reorder -m "" $(ARGS)

.PHONY: bench
bench: host-tools $(VENV)/.installed  ## measure what the project promises to be fast
	@$(VENV)/bin/python tests/benchmarks/run.py $(ARGS)

.PHONY: lint
lint: $(VENV)/.lint-installed  ## every linter
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" tools/lint

.PHONY: help
help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: clean
clean:  ## remove what make has made; the state directory (.compatlayer) stays
	rm -rf $(VENV) dist build .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find compatlayer playbooks tests -name __pycache__ -prune -exec rm -rf {} +

# Silent, and a few milliseconds, when nothing is missing.
.PHONY: host-tools
host-tools:
	@tools/host-tools

$(VENV)/.installed: pyproject.toml requirements.lock tools/make-venv
	@echo "making $(VENV)" >&2
	@tools/make-venv $(VENV)
	@$(PIP) install -c requirements.lock -e '.[test]'
	@touch $@

$(VENV)/.lint-installed: $(VENV)/.installed
	@echo "adding the linters to $(VENV)" >&2
	@$(PIP) install -c requirements.lock -e '.[test,lint]'
	@touch $@
