# Two commands set everything up: `make ablations` (the main job) and `make test`.
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
STUDIES ?= models toggles
SEEDS   ?=
FLAGS   ?=
BIN     := .venv/bin
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: ablations golden chapter test check lock ui clean

ablations: .venv/installed
	@$(BIN)/unrolled run $(STUDIES) $(if $(SEEDS),--seeds $(SEEDS)) $(FLAGS)

golden: .venv/installed
	@$(BIN)/unrolled run golden

chapter: .venv/installed
	@$(BIN)/unrolled chapter

test: .venv/installed-for-tests
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(FLAGS)

check: .venv/installed-for-tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

ui: .venv/installed
	@$(BIN)/unrolled ui $(FLAGS)

# The newest releases that pyproject.toml allows, written down exactly. torch and torchvision stay ranges:
# which build is right depends on the machine.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check '.[test]'
	build/lock/bin/python -m pip freeze --exclude unrolled \
	  | grep -viE '^(torch|torchvision|triton|nvidia-|cuda-)|@' > constraints.txt
	rm -rf build/lock

.venv/installed: pyproject.toml constraints.txt
	@echo "installing into .venv (a few minutes, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) --constraint constraints.txt --editable .
	@touch $@

.venv/installed-for-tests: .venv/installed
	@$(PIP) --constraint constraints.txt --editable '.[test]'
	@touch $@

clean:
	rm -rf .venv build dist
