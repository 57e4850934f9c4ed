# Each target first brings .venv up to date, which takes no time when nothing changed.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup demo docs lint test test-quick test-slow

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' Makefile | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: ## Make .venv with everything that developing needs
	@.ci/setup

demo: setup ## Label, train and review the sample brains (opens napari where there is a screen)
	@QT_API=pyqt6 .venv/bin/napari-semiseg demo

docs: setup ## Build the documentation as a site in build/docs
	@.venv/bin/python -c 'import material' 2>/dev/null || .venv/bin/pip install -q -c .ci/constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet -f docs/site/mkdocs.yml

lint: setup ## Check style, formatting, types and who imports whom
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/codespell
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

test: lint ## Run all checks and the tests, as continuous integration does
	.venv/bin/npe2 validate napari-semiseg
	.ci/test

test-quick: setup ## Run the tests that neither train nor open windows: a first look
	.ci/test -m 'not slow and not trains and not window'

test-slow: setup ## Run the tests that take minutes
	.ci/test -m slow
