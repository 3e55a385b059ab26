# make demo | test | lint | bench | docs | clean     (each creates .venv where it is missing)
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DEMO := demo
# The demo's collaborative transformer is smaller than the default (hidden 128), which takes minutes on two cores.
SMALL := $(addprefix --set collaborative.,hidden=16 embedding=16 projection=16 heads=1)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,dashboard]'
	touch $@

.PHONY: demo demo-telemetry demo-traces demo-logs test lint bench docs clean

# The three sources at a time, of the logs two detectors at a time with a thread each: a training of such small
# networks leaves a second core idle (docs/training.md). Each source prints what it has to say when it is done.
demo: $(READY)
	rm -rf $(DEMO)
	@echo "logs, telemetry and traces at a time; each shows what it has found when it is done"
	$(MAKE) --jobs=3 --output-sync=target demo-logs demo-telemetry demo-traces

demo-telemetry: $(READY)
	$(BIN)/vestige simulate telemetry $(DEMO)/store --hosts 4 --episodes 120 --seconds 120 --seed 7
	$(BIN)/vestige validate $(DEMO)/store --fail-on never
	$(BIN)/vestige run telemetry $(DEMO)/store --split random --model gbt --model gru -o $(DEMO)/runs/telemetry

demo-traces: $(READY)
	$(BIN)/vestige simulate traces $(DEMO)/traces --programs 20 --recordings 4 --kilobytes 4 --seed 7
	$(BIN)/vestige run traces $(DEMO)/traces --task next --model ngram --tip-only --sequence-len 32 --own-code merge -o $(DEMO)/runs/traces

demo-logs: $(READY)
	$(BIN)/vestige simulate logs $(DEMO)/logs --hosts 20 --seed 7
	$(BIN)/vestige run logs $(DEMO)/logs --format bgl --split host --train-jobs 2 --model collaborative --model gru --model gbt $(SMALL) -o $(DEMO)/runs/logs

test: $(READY)
	$(BIN)/python -m pytest -n 2

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

docs: $(READY)
	$(BIN)/python docs/generate.py

clean:
	rm -rf .venv $(DEMO) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
