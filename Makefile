# Every target sets up what it needs; see scripts/setup.sh. `make` says what there is.
.DEFAULT_GOAL := help
.PHONY: help run test test-full lint bench lock catalogue panel screenshots clean setup-run setup-dev
TEST_WORKERS ?= 4
PYTEST := .venv/bin/python -m pytest -n $(TEST_WORKERS)
export PATH := $(PATH):/usr/local/sbin:/usr/sbin

help:
	@echo 'make run        the gate, its databases and an example upstream, on 127.0.0.1:8080'
	@echo 'make test       all tests but the long ones'
	@echo 'make test-full  all tests'
	@echo 'make lint       ruff, mypy, import-linter'
	@echo 'make bench      the gate beside Caddy, Fastify, HAProxy and nginx; a quarter of an hour on a machine with nothing else to do'
	@echo 'make lock       requirements/ anew from pyproject.toml'
	@echo 'make catalogue  the translations of the pages, after a change of their texts'
	@echo 'make panel      the scripts and style sheets of the panel, after a change of admin/frontend; needs npm'
	@echo 'make screenshots  the pictures of the panel in the README, after a change of its looks; needs Chromium'
	@echo 'make clean      remove what the others made, but not data/'

run: setup-run
	@exec .venv/bin/gatekeeper serve --example-upstream

test: setup-dev
	@sh scripts/setup-programs.sh
	@$(PYTEST)

test-full: setup-dev
	@sh scripts/setup-programs.sh full
	@$(PYTEST) --full

lint: setup-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

lock: setup-dev
	@sh scripts/lock.sh

catalogue: setup-dev
	@.venv/bin/python scripts/catalogue.py

panel:
	cd admin/frontend && npm ci --no-audit --no-fund && npm run build

screenshots: setup-dev
	@sh scripts/setup-programs.sh
	.venv/bin/python scripts/screenshots.py

bench: setup-dev
	.venv/bin/python benchmarks/run.py

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -not -path './data/*' -prune -exec rm -rf {} +

setup-run:
	@sh scripts/setup.sh run

setup-dev:
	@sh scripts/setup.sh dev
