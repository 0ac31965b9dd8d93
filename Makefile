# Everything a developer does. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := --constraint constraints.txt --editable '.[dev,dashboards]'
PYTEST := $(BIN)/python -m pytest
# What Python compiled is kept, whatever the environment says: a run of the tests starts it hundreds of times.
unexport PYTHONDONTWRITEBYTECODE

# Programs that tests start and PyPI does not have. RUNLEVEL=1: installed, not started as services.
DEBIAN_PROGRAMS := prometheus promtool chromium chromedriver
DEBIAN_PACKAGES := prometheus chromium chromium-driver

.PHONY: help setup system demo test shown alone processes covered check fast types lint format fuzz soak bench backtest-docs config-docs rule-docs dashboard screenshots notebooks notebook-data clean

help: ## This list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## Make .venv with every pinned package

$(STAMP): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 15) else "meshslo needs Python 3.11 to 3.14; set PYTHON=python3.12, say")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "this Python has no venv: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --upgrade --constraint constraints.txt pip setuptools uv
	@# uv takes a sixth of pip's time; pip knows settings of a machine that uv does not read (pip.conf).
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(PACKAGES) \
		|| { echo "uv could not (see above): pip does it"; $(BIN)/python -m pip install --quiet --no-compile $(PACKAGES); }
	@# Compiling is most of the work: here on all cores, and without what is large and seldom imported.
	$(BIN)/python -m compileall -q -j 0 -x '/(tests|plotly|matplotlib|fontTools|debugpy|pip|jedi|lexers|devtools|mypy|trio)/' $(VENV)/lib
	@touch $(STAMP)

system: ## Debian packages that tests use, where this machine may install them
	@missing=; for program in $(DEBIAN_PROGRAMS); do command -v $$program >/dev/null || missing=1; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN_PACKAGES); \
	else echo "not installed: $(DEBIAN_PROGRAMS); tests that need them are skipped (apt-get install $(DEBIAN_PACKAGES))"; fi

demo: setup ## The main job on a real chain behind real Envoy: report, recommendations, before and after (5 minutes)
	$(BIN)/meshslo demo --out demo-out

test: system lint ## Everything: lint, types, all tests, branch coverage
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target processes covered

# Real processes wait for timers most of the time. What computes does so meanwhile, and nicely: what is timed goes first.
# Coverage would slow down what they time. Each of two workers has one core, which Polars' threads would only fight for.
FILES_OF = $$(grep -rl 'mark\.$1' tests --include='test_*.py' | grep -v $(DEMO_TEST))
DEMO_TEST := tests/demo/test_demo.py

shown: setup
	$(PYTEST) $(DEMO_TEST)

alone: shown ## The tests of real processes against time, two files at once, after the demo, which needs both cores
	$(PYTEST) -n 2 --dist loadfile -m alone $(call FILES_OF,alone)

processes: alone
	$(PYTEST) -n 2 --dist loadgroup -m 'system and not alone' $(call FILES_OF,system)

covered: types
	POLARS_MAX_THREADS=1 COVERAGE_FILE=.coverage nice -n 19 $(PYTEST) -n 2 --dist loadgroup -m 'not system' --cov --cov-report=term

check: lint types fast ## Lint, types, fast tests: under a minute

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	nice -n 19 $(BIN)/mypy

fast: setup
	$(PYTEST) -n 2 --dist loadgroup -q -m 'not system and not slow'

format: setup ## Format and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: setup ## A million mutated messages against the collector's readers (the tests send 10,000)
	MESHSLO_FUZZ=1000000 $(PYTEST) tests/telemetry/test_collect_fuzz.py

soak: setup system ## Kill the collector 200 times under load; fill its disk, send it bombs and foreign tenants 20 times over
	MESHSLO_KILLS=200 MESHSLO_ROUNDS=20 $(PYTEST) $(addprefix tests/telemetry/test_collect,_kill.py _metrics.py _health.py .py _access.py) \
		-k 'sigkill or full_disk or decompression or tenant'

bench: setup ## Speed against named alternatives and the physical floor; writes build/bench.json
	$(BIN)/python -m tests.bench

rule-docs: setup ## Write the page of every rule of `meshslo check` into docs/rules
	@mkdir -p docs/rules && rm -f docs/rules/*.md
	$(BIN)/python -c 'from pathlib import Path; from meshslo.analysis.check import pages, rules; [Path("docs/rules", name).write_text(text) for name, text in pages(rules()).items()]'

config-docs: setup ## Write the page of every key of meshslo.toml, docs/config.md
	$(BIN)/python -c 'from pathlib import Path; from meshslo.analysis.config_page import page; Path("docs/config.md").write_text(page())'

backtest-docs: setup ## Write docs/backtest.md from real measurements ($MESHSLO_SHARED, else ../shared)
	$(BIN)/python -m tests.pages

dashboard: setup ## The Streamlit dashboard on the demo's store
	$(BIN)/meshslo dashboard --store demo-out/store --config demo-out/meshslo.toml --current demo-out/mesh/before

screenshots: setup system ## Pictures of the dashboard's pages in light and dark, into docs/
	$(BIN)/python -m tests.screenshots

notebooks: setup ## Run the notebooks; pages that open without a network in build/notebooks
	$(BIN)/python notebooks/render.py build/notebooks

notebook-data: setup ## Record the notebooks' data anew: runs the demo (5 minutes)
	rm -rf build/notebook-demo && $(BIN)/meshslo demo --out build/notebook-demo
	$(BIN)/python notebooks/record.py build/notebook-demo

clean: ## Remove what the other targets made
	rm -rf $(VENV) build dist demo-out .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
