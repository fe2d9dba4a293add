# `make demo` and `make test` each work alone on a fresh clone: they make the virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check clean

demo: $(VENV)/.installed
	$(BIN)/avs demo

# a process of one thread per core; with ARGS, which may ask for output as it comes (-s), one process. Files go to the processes
# in their own order: by the number of their tests, long files of few tests would come last, to one process alone
test: export OMP_NUM_THREADS ?= 1
test: $(VENV)/.installed
	$(BIN)/python -m pytest $(or $(ARGS),-n logical --dist loadfile --no-loadscope-reorder)

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) avs-demo
