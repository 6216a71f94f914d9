# The two commands of the README are `make demo` and `make test`; `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help demo test check bench docs lock build clean

help:
	@echo 'make demo   install, then run the whole story on the embedded Azure ML'
	@echo 'make test   install, then run the whole test suite'
	@echo 'make check  formatting, lint, types, layers, YAML and workflow linters'
	@echo 'make bench  the benchmarks; every figure is a ratio measured in one run'
	@echo 'make docs   regenerate the reference pages'
	@echo 'make lock   resolve the dependencies again and write requirements.lock'
	@echo 'make build  build the wheel'
	@echo 'make clean  stop the emulator and remove everything made here'

# pip would compile what it installs on one core; this takes all of them. What does not compile is
# passed over, as pip does.
$(STAMP): requirements.lock pyproject.toml
	@set -e; \
	for candidate in "$(PYTHON)" python3.13 python3.12 python3.11 python3; do \
	  [ -n "$$candidate" ] || continue; \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found="$$candidate"; break; \
	  fi; \
	done; \
	[ -n "$$found" ] || { echo 'taxiops needs Python 3.11 or newer: install it, or call make PYTHON=/path/to/python3' >&2; exit 2; }; \
	echo "Installing into .venv with $$("$$found" --version) (about a minute) ..."; \
	"$$found" -m venv --clear .venv; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --requirement requirements.lock; \
	$(BIN)/python -W ignore -m compileall -qq -j 0 .venv/lib || true; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/taxiops demo

# As many processes as there is work for, so that none needs threads of its own. They share the
# bytecode of our sources, which a container's PYTHONDONTWRITEBYTECODE would have each compile anew.
test: $(STAMP)
	@OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/yamllint --strict .
	$(BIN)/actionlint -no-color
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yml
	$(BIN)/zizmor --offline -q --no-progress --strict-collection --pedantic .github

bench: $(STAMP)
	$(BIN)/python tests/benchmarks

docs: $(STAMP)
	$(BIN)/python -m taxiops.cli.reference
	$(BIN)/python tests/emulator/coverage.py

lock: $(STAMP)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --fork-strategy fewest --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --output-file requirements.lock
	@# What a new version requires is read from the installed one.
	@$(MAKE) --no-print-directory $(STAMP)
	$(BIN)/python components/environment/pin.py

build: $(STAMP)
	$(BIN)/python -m build --no-isolation

clean:
	@if [ -x $(BIN)/taxiops ]; then $(BIN)/taxiops emulator stop || true; fi
	rm -rf .venv .taxiops artifacts dist
