# Two commands for a newcomer: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt
# the first start of a program compiles what it imports; compiling all that is installed would take a minute more
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-all lint wheel-test bench-nights torture clean

# the pip that Python brings is slower; setuptools warns of any editable installation
setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --upgrade pip
	PYTHONWARNINGS=ignore $(PIP) -e '.[demo,dev]'
	touch .venv/ready

demo: setup
	$(BIN)/python -m moodreel.flows.demo

# several processes of one thread each: threads that wait for each other cost more than they bring to small networks;
# three for two processors, since many tests wait for servers; in the order of the files, the long ones of flows first;
# a process that crashes is not replaced: the others would wait for it for ever, and the test would not be named
PYTEST := $(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

test: export OMP_NUM_THREADS := 1
test: setup
	$(PYTEST)

# those too that take minutes
test-all: export OMP_NUM_THREADS := 1
test-all: setup
	$(PYTEST) -m 'slow or not slow'

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p .cache/typing/moodreel
	for folder in flows tasks models schemas warehouse; do ln -sfn ../../../$$folder .cache/typing/moodreel/$$folder; done
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel-test: setup
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python -m pip wheel --quiet --no-deps -w build/wheel .
	$(BIN)/python -m pip install --quiet --no-deps --target build/wheel/site build/wheel/*.whl
	cd build/wheel && PYTHONPATH=site ../../$(BIN)/python -c 'import moodreel.flows.cli as c; assert "wheel" in c.__file__, c.__file__; c.main()' models

bench-nights: export OMP_NUM_THREADS := 1
bench-nights: setup
	PYTHONPATH=tests/support $(BIN)/python tests/support/bench_nothing_new.py
	PYTHONPATH=tests/support $(BIN)/python tests/support/bench_rerun.py
	PYTHONPATH=tests/support $(BIN)/python tests/support/bench_upkeep.py

# 200 kills, about an hour; `tests/support/torture.py --help` names what can be chosen
torture: export OMP_NUM_THREADS := 1
torture: setup
	PYTHONPATH=tests/support $(BIN)/python tests/support/torture.py

clean:
	rm -rf .venv .cache build demo-data
