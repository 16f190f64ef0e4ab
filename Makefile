# Everything a fresh machine needs is Python 3.11 to 3.13 and make.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run run-binance test proof soak screenshots check format clean
.DEFAULT_GOAL := run

run: $(VENV)/.run ## the demo: simulated exchange, listener, workers, web
	@exec $(BIN)/python manage.py run_desk --demo

run-binance: $(VENV)/.run ## the same traders on paper, on Binance's public market data
	@DATA_DIR=var/binance exec $(BIN)/python manage.py run_desk

test: $(VENV)/.dev ## everything but real processes and browsers
	$(BIN)/python -m pytest -n 2

proof: $(VENV)/.dev ## real processes, kills and a real browser
	@tools/install-chromium
	$(BIN)/python -m pytest -m proof --strict-skips

soak: $(VENV)/.dev ## CLOSES=1000000 SEED=1: every close looked up while everything fails; 83 minutes for a million
	$(BIN)/python -m tests.soak --closes $(or $(CLOSES),1000000) --seed $(or $(SEED),1)

screenshots: $(VENV)/.dev ## pictures of every page into docs/
	@tools/install-chromium
	$(BIN)/python -m tests.screenshots

check: $(VENV)/.dev ## format, lint, types, import contracts, migrations, production settings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	DJANGO_HTTPS=1 DJANGO_SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(60))') \
		$(BIN)/python manage.py check --deploy --fail-level WARNING
	$(BIN)/python manage.py pg stop

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## forget the demo's database; the virtual environment stays
	-$(BIN)/python manage.py pg stop
	rm -rf var

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; name one with PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/.run
