# Two commands set everything up: `make ablations` (the main job) and `make test`.
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
STUDIES ?= models toggles
SEEDS   ?=
FLAGS   ?=
CLUSTER ?=
RESULTS ?= results
BIN     := .venv/bin
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CONVERT := $(BIN)/python -m nbconvert --log-level ERROR
EXECUTE := $(CONVERT) --execute --ExecutePreprocessor.record_timing=False --to notebook

# A .venv that was copied or moved with its folder still runs the code of the other place: install it here.
ifeq ($(wildcard $(BIN)/unrolled)$(shell grep -sF '$(CURDIR)/$(BIN)/' $(BIN)/unrolled),$(BIN)/unrolled)
$(shell rm -f .venv/installed*)
endif

.PHONY: help install ablations golden chapter test bench check docs pictures shipped-results lock ui cluster clean

help:
	@echo "make ablations   environment, installation, the main job; the report's path at the end"
	@echo "make install     the environment alone: .venv/bin/unrolled"
	@echo "make golden      the book's notebook replayed: its printed rows, digit by digit"
	@echo "make chapter     chapter 12, answered: docs/chapter12.ipynb, executed, as a page"
	@echo "make ui          browse MLflow"
	@echo "make test        everything that tests need, and the tests"
	@echo "make bench       how fast it is, against the chapter's own code"
	@echo "make cluster     two workers to try CLUSTER= with"
	@echo "make check       formatter, linter, types, import rules; docs, lock, clean: see CONTRIBUTING.md"

ablations: .venv/installed
	@$(BIN)/unrolled run $(STUDIES) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(CLUSTER),--cluster $(CLUSTER)) $(FLAGS)

install: .venv/installed

golden: .venv/installed
	@$(BIN)/unrolled golden

# The notebook, executed in a minute, as a page without the cells that only tests need. In one step nbconvert
# would leave these out before it executes the others.
chapter: .venv/installed-for-chapter
	@$(EXECUTE) --output-dir out docs/chapter12.ipynb
	@$(CONVERT) --to html --no-prompt --template-file docs/chapter12.html.j2 \
	  --TagRemovePreprocessor.remove_cell_tags remove-cell out/chapter12.ipynb
	@echo "page: out/chapter12.html"

test: .venv/installed-for-tests
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(FLAGS)

# About ten minutes on two idle cores. FLAGS=--full takes hours; FLAGS=--benchmark-compare holds this run
# against the one before.
bench: .venv/installed-for-tests
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only --benchmark-autosave --timeout 0 $(FLAGS)

check: .venv/installed-for-tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The tables that come with Unrolled, ablations/studies/*.csv, from a ledger: RESULTS=FOLDER.
shipped-results: .venv/installed
	@$(BIN)/python -m unrolled.ablations.tables.study_tables $(RESULTS)

# The reference pages docs/study-file.md and docs/api.md, from the code, and the outputs of docs/chapter12.ipynb.
docs: .venv/installed-for-chapter
	@$(BIN)/python docs/generate.py
	@$(EXECUTE) --inplace docs/chapter12.ipynb

# docs/report.png: the first screen of a report, of the results of `models` that ship. Needs Chromium.
pictures: .venv/installed
	@$(BIN)/python docs/picture.py out/pictures
	chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,1135 \
	  --screenshot=docs/report.png file://$(CURDIR)/out/pictures/models/index.html

ui: .venv/installed
	@$(BIN)/unrolled ui $(FLAGS)

# A scheduler and two workers on 127.0.0.1, for trying CLUSTER=tcp://127.0.0.1:8786 with `make ablations`.
cluster: .venv/installed-for-cluster
	@$(BIN)/dask scheduler --host 127.0.0.1 --no-dashboard & trap "kill $$!" EXIT; \
	DASK_DISTRIBUTED__WORKER__DAEMON=False $(BIN)/dask worker tcp://127.0.0.1:8786 \
	  --nworkers 2 --nthreads 1 --memory-limit 0 --no-dashboard $(FLAGS)

# The newest releases that pyproject.toml allows, written down exactly. torch and torchvision stay ranges:
# which build is right depends on the machine.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check '.[test]'
	build/lock/bin/python -m pip freeze --exclude unrolled \
	  | grep -viE '^(torch|torchvision|triton|nvidia-[^m]|cuda-)|@' | LC_ALL=C sort -f > constraints.txt
	rm -rf build/lock

.venv/installed: pyproject.toml constraints.txt
	@echo "installing into .venv (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) --constraint constraints.txt --editable '.[chapter]'
	@touch $@

.venv/installed-for-chapter: .venv/installed
	@$(PIP) --constraint constraints.txt --editable '.[notebook]'
	@touch $@

.venv/installed-for-cluster: .venv/installed
	@$(PIP) --constraint constraints.txt --editable '.[cluster]'
	@touch $@

.venv/installed-for-tests: .venv/installed
	@$(PIP) --constraint constraints.txt --editable '.[test]'
	@touch $@

clean:
	rm -rf .venv build dist
