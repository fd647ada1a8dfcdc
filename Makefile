# leadping: `make run` serves it, `make test` proves it. Needs python3 (3.11 or later) and make.

PYTHON := .venv/bin/python

.PHONY: help run test bench lint format lock docs clean

help:  ## Say what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

run: .venv/runtime .env  ## Serve intake and console; honours PORT and DATABASE_URL
	@exec $(PYTHON) manage.py serve

test: .venv/development  ## Run the whole suite on SQLite and on PostgreSQL
	@exec $(PYTHON) -m tests.run

bench: .venv/bench  ## Measure what a post costs (needs nginx; about 8 minutes)
	@exec $(PYTHON) -m bench.run

lint: .venv/development  ## Check style, types, migrations and production settings
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy .
	@$(PYTHON) -m tests.deployment

format: .venv/development  ## Put the code into its style
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

lock: .venv/development  ## Renew the exact, hashed versions for production
	$(PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
		requirements.txt -o requirements.lock

docs: .venv/runtime .env  ## Renew docs/compliance.md and docs/openapi.json from the code
	$(PYTHON) manage.py rulebook
	$(PYTHON) manage.py openapi

clean:  ## Remove what can be made again (not the database, not .env)
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*

.venv/bin/python:
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "leadping needs Python 3.11 or later")'
	python3 -m venv .venv

.venv/runtime: requirements.txt | .venv/bin/python
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/development: requirements-dev.txt requirements-parquet.txt requirements.txt | .venv/bin/python
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/runtime

.venv/bench: requirements-bench.txt requirements-dev.txt requirements.txt | .venv/bin/python
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@ .venv/development .venv/runtime

# Secrets of this checkout, made once; production sets its own environment (.env.example).
.env: | .venv/bin/python
	@umask 077; $(PYTHON) -c 'import secrets as s; print(f"SECRET_KEY={s.token_urlsafe(50)}\nDEMO_PASSWORD={s.token_urlsafe(12)}\nHTTPS=off")' > $@
