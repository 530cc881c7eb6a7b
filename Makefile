# The course's commands. Each makes or repairs the environment it needs, once.
PYTHON ?= python3.11
PYTHON := $(shell command -v $(PYTHON) 2>/dev/null || command -v python3)
BIN = .venv/bin
GPU ?=
FRAMEWORK ?= pytorch
PROFILE ?= quick
DATA ?= complete-journey
OUT ?= reports/$(FRAMEWORK)
# No question about news and no look for updates: nothing here asks the network.
LAB = --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate
LAB += $(if $(filter 0,$(shell id -u)),--allow-root)
export OMP_NUM_THREADS = 1
export TF_CPP_MIN_LOG_LEVEL = 2
export TF_ENABLE_ONEDNN_OPTS = 0

.PHONY: help setup report test unit notebooks check lint lab bench constraints clean

help:
	@echo "make report      an HTML report from a shopping log: FRAMEWORK=pytorch|tensorflow DATA=PATH PROFILE=quick|full"
	@echo "make test        every test: unit tests, contracts, every notebook"
	@echo "make lab         JupyterLab on the course"
	@echo "make unit        unit tests alone      make notebooks   rebuild and run what changed"
	@echo "make lint        style, types, layers  make bench       the measurements side by side"
	@echo "make setup       the environment alone (GPU=1: the GPU builds)"

setup:
	@$(PYTHON) tools/environment.py $(if $(GPU),--gpu)

report: setup
	@$(BIN)/companion report --framework $(FRAMEWORK) --data $(DATA) --profile $(PROFILE) --out $(OUT)

unit: setup
	@$(BIN)/python -m pytest tests -n 2 --dist loadfile

test: setup
	@$(BIN)/python -m companion.course.build --check
	@$(BIN)/python -m companion.course.lint
	@$(BIN)/python -m pytest tests notebooks --nbval-lax -n 2 --dist loadfile

notebooks: setup
	@$(BIN)/python -m companion.course.build
	@$(BIN)/python -m companion.course.execute
	@$(BIN)/python -m companion.course.lint

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/codespell

lab: setup
	@$(BIN)/jupyter lab --notebook-dir=notebooks $(LAB)

bench: setup
	@for script in benchmarks/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

constraints: setup
	@$(BIN)/uv pip compile pyproject.toml --extra pytorch --extra tensorflow --extra gpu --extra dev \
		--universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
		--no-emit-find-links --quiet -o constraints.txt

clean:
	rm -rf .venv build
