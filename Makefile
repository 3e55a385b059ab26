# make demo | test | lint | bench | bench-check | bench-peers | board | docs | clean     (each creates .venv where it is missing)
#
# make demo TORCH=none   installs no torch, and the demo trains no networks
# make demo TORCH=cpu    PyTorch's CPU build, from the index TORCH_INDEX where yours has none (pytorch.org names it)
# make demo TORCH=cuda   the build for NVIDIA GPUs, several gigabytes
# Without TORCH the package index decides: it serves one build of the pinned version before others.
TORCH ?= any
TORCH_INDEX ?=
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready-$(TORCH)
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
DEMO := demo
# The demo's collaborative transformer is smaller than the default (hidden 128), which takes minutes on two cores.
SMALL := $(addprefix --set collaborative.,hidden=16 embedding=16 projection=16 heads=1)
ifneq ($(TORCH),none)
GRU := --model gru
COLLABORATIVE := --model collaborative $(SMALL)
endif

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(MAKE) torch-$(TORCH)
	$(PIP) --editable '.[$(if $(filter none,$(TORCH)),dashboard,dev)]'
	touch $@

.PHONY: torch-any torch-none torch-cpu torch-cuda
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
PINNED := $(shell sed -n 's/^torch==//p' constraints.txt)

torch-none:

torch-any:
	$(PIP) torch==$(PINNED)

torch-cpu:
	$(PIP) $(INDEX) torch==$(PINNED)+cpu || { echo "no CPU build here: give its index as TORCH_INDEX=URL"; exit 1; }

torch-cuda:
	$(PIP) $(INDEX) torch==$(PINNED)
	$(BIN)/python -c "import torch, sys; sys.exit(0 if torch.version.cuda else 'this index serves a CPU build: give another as TORCH_INDEX=URL')"

.PHONY: demo demo-telemetry demo-traces demo-logs test lint bench bench-check bench-peers board docs clean attack fuzz

# The three sources at a time, of the logs two detectors at a time with a thread each: a training of such small
# networks leaves a second core idle (docs/training.md). Each source prints what it has to say when it is done.
demo: $(READY)
	rm -rf $(DEMO)
	@echo "logs, telemetry and traces at a time; each shows what it has found when it is done"
	$(MAKE) --jobs=3 --output-sync=target demo-logs demo-telemetry demo-traces

demo-telemetry: $(READY)
	$(BIN)/vestige simulate telemetry $(DEMO)/store --hosts 4 --episodes 120 --seconds 120 --seed 7
	$(BIN)/vestige validate $(DEMO)/store --fail-on never
	$(BIN)/vestige run telemetry $(DEMO)/store --split random --model gbt $(GRU) -o $(DEMO)/runs/telemetry

demo-traces: $(READY)
	$(BIN)/vestige simulate traces $(DEMO)/traces --programs 20 --recordings 4 --kilobytes 4 --seed 7
	$(BIN)/vestige run traces $(DEMO)/traces --task next --model ngram --tip-only --sequence-len 32 --own-code merge -o $(DEMO)/runs/traces

demo-logs: $(READY)
	$(BIN)/vestige simulate logs $(DEMO)/logs --hosts 20 --seed 7
	$(BIN)/vestige run logs $(DEMO)/logs --format bgl --split host --train-jobs 2 $(COLLABORATIVE) $(GRU) --model gbt -o $(DEMO)/runs/logs

# Byte code is kept, whatever the environment says: hundreds of processes would compile the program anew.
# Three workers for two cores: many a test waits for processes of its own, or for a time that must pass.
test: export PYTHONDONTWRITEBYTECODE =
test: $(READY)
	$(BIN)/python -m pytest -n 3 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What this code has not been measured for yet, the most important first; ARGS="--minutes 15" (see benchmarks/run.py).
bench: $(READY)
	$(BIN)/python benchmarks/run.py $(ARGS)

bench-check: $(READY)
	$(BIN)/python benchmarks/run.py --check $(ARGS)

# What a user would pick instead, in an environment of its own (2 GB). Some want the PyTorch of the project, whose
# version of Python it therefore has to have.
bench-peers: $(READY)
	$(BIN)/python -m venv benchmarks/.peers
	benchmarks/.peers/bin/pip install --quiet --requirement benchmarks/peers.txt
	benchmarks/.peers/bin/pip install --quiet --no-deps --requirement benchmarks/peers-torch.txt

# Every labelled set by every detector; cut it off at any moment, and the same command goes on.
DATA ?= ../shared/data
board: $(READY)
	$(BIN)/vestige board --data $(DATA) -o board
	cp board/board.md docs/board.md

docs: $(READY)
	$(BIN)/python docs/generate.py
	$(PIP) --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Everything that tries to break a promise (docs/security.md), a hundred times as long as in the suite.
attack: $(READY)
	VESTIGE_ATTACK=100 $(BIN)/python -m pytest tests/attacks

FUZZ ?= 200
# Parsers of evidence; artifacts are in `make attack`. FUZZ: seconds each.
fuzz: $(READY)
	$(BIN)/python benchmarks/fuzz_evidence.py --seconds $(FUZZ)
	$(BIN)/python benchmarks/fuzz_traces.py --seconds $(FUZZ)
	$(BIN)/python benchmarks/fuzz_perf.py --seconds $(FUZZ)

clean:
	rm -rf .venv $(DEMO) site .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
