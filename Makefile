# Each target makes .venv first, from nothing but Python >= 3.11 and an index.

PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; \
  do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
  echo $$p && break; done)
BIN := .venv/bin
PROJECT := -c constraints.txt -e '.[dev]'

# uv reads neither pip.conf nor PIP_*, so it is told what pip says of where
# packages come from (sorted: the environment last, as it wins there too).
UV := export UV_PYTHON_DOWNLOADS=never $$($(BIN)/pip config list | sort -r | sed -n \
  -e "s/.*\.index-url='\(.*\)'/UV_DEFAULT_INDEX=\1/p" \
  -e "s/.*\.extra-index-url='\(.*\)'/UV_INDEX=\1/p" \
  -e "s/.*\.find-links='\(.*\)'/UV_FIND_LINKS=\1/p" \
  -e "s/.*\.cert='\(.*\)'/SSL_CERT_FILE=\1/p"); $(BIN)/uv

.PHONY: demo test check docs bench constraints clean pulumi \
  cluster-able cluster-up cluster-down cluster-shell test-cluster

demo: .venv/.installed
	$(BIN)/python examples/digits.py

# What fails has one more try by itself: a machine that is busy keeps no time.
TWICE := sh -c '"$$@" || "$$@" -n 0 --last-failed' twice $(BIN)/python -m pytest

test: .venv/.installed
	$(TWICE)

check: .venv/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyrefly check
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/docs_test.py tests/docs_facts_test.py

# Into build/site; a link that leads nowhere is an error.
docs: .venv/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: .venv/.installed
	$(BIN)/python -m benchmarks

# On Linux, as root, with Go: a Kubernetes on this machine, for tests.
cluster-able cluster-up cluster-down cluster-shell: .venv/.installed
	$(BIN)/python -m tests.cluster $(@:cluster-%=%)

# Those that end parts of the cluster come alone, and last.
ALONE := tests/cluster/restarts_test.py tests/cluster/lifecycle_test.py
test-cluster: cluster-up
	$(TWICE) -n 2 tests/cluster $(ALONE:%=--ignore=%)
	$(TWICE) -n 0 $(ALONE)

# Pulumi's program, with Go, in ten minutes: what tests of engines run too.
PULUMI := github.com/pulumi/pulumi
pulumi:
	cd tests/pulumi && version=$$(go list -m -f '{{.Version}}' $(PULUMI)/pkg/v3) \
	  && CGO_ENABLED=0 go build -trimpath -o ~/.cache/keras_remote-pulumi/pulumi \
	  -ldflags "-s -w -X $(PULUMI)/sdk/v3/go/common/version.Version=$$version" \
	  $(PULUMI)/pkg/v3/cmd/pulumi

# The newest versions that fit pyproject.toml, without any address.
constraints: .venv/.installed
	@$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 \
	  --fork-strategy fewest --all-extras --no-header --no-annotate \
	  --output-file constraints.txt pyproject.toml

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis \
	  .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What uv cannot follow, such as a proxy that only pip knows, pip does itself.
.venv/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 here. Install one," \
	  "or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@$(UV) pip install --python $(BIN)/python -b constraints.txt $(PROJECT) \
	  || { echo "uv could not; pip tries."; $(BIN)/pip install $(PROJECT); }
	@touch $@
