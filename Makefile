# `make` alone prints this help. Everything below creates .venv and installs only when something changed.

PYTHON    ?= python3
VENV      ?= .venv
CONFIG    ?=
DATA_ROOT ?=
SEEDS     ?=
DEVICES   ?=
NODES     ?=
ARGS      ?=
BENCHES   ?= planner language chat programs recogniser decode

BIN     := $(VENV)/bin
ROOT    := $(if $(DATA_ROOT),--root $(DATA_ROOT))
PLAN    := $(or $(CONFIG),configs/experiment/planllm_synthetic_t3.yaml)
LEAP    := configs/experiment/leap_
SPREAD  := $(if $(strip $(DEVICES)$(NODES)),--trainer.accelerator auto --trainer.strategy ddp \
--trainer.devices $(or $(DEVICES),1) --trainer.num_nodes $(or $(NODES),1))
MORE    := $(strip $(SPREAD) $(ARGS))
BESIDE  := $(if $(SPREAD),; with=,& with=$$!)# two runs at once, unless each takes all devices

.DEFAULT_GOAL := help

.PHONY: help nodes setup setup-dev demo train-planllm train-leap programs test test-slow lint typecheck bench clean

help:  ## Print this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
	@echo
	@echo 'Variables: CONFIG=an experiment, such as $(PLAN)'
	@echo '           DATA_ROOT=folder of your datasets   SEEDS="7 8 9"   ARGS="--trainer.max_epochs 5"'
	@echo '           DEVICES=GPUs per machine   NODES=machines (docs/cluster.md)'

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"leaplan needs Python 3.11 to 3.13, but $(PYTHON) is {v[0]}.{v[1]}. Try: make PYTHON=python3.12 setup")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.python setup.cfg pyproject.toml constraints.txt
	@echo 'installing leaplan into $(VENV) (minutes the first time: PyTorch is large)'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,onnx,notebooks,demo,ray]'
	@touch $@

setup: $(VENV)/.installed  ## Create .venv and install leaplan
setup-dev: $(VENV)/.installed-dev  ## ... with the tools for tests and checks

demo: setup  ## See it all on the synthetic kitchen: train, plan, recognise, report (some minutes, then seconds)
	$(BIN)/leaplan demo $(ARGS)

nodes:
	@test "$(or $(NODES),1)" = 1 || test -n "$$SLURM_JOB_ID" || test -n "$$NODE_RANK" -a -n "$$MASTER_ADDR" -a -n "$$MASTER_PORT" || { \
	  echo 'NODES=$(NODES) needs to know which machine this is. Run the same command on each of them, as in'; \
	  echo '  MASTER_ADDR=first-machine MASTER_PORT=29500 NODE_RANK=0 make $(MAKECMDGOALS) DEVICES=$(or $(DEVICES),1) NODES=$(NODES)'; \
	  echo 'with NODE_RANK=1 on the second; with SLURM, use docker/slurm/train.sbatch (docs/cluster.md)'; exit 2; } >&2

train-planllm: nodes setup  ## Train PlanLLM in both stages and test it (default: the embedded synthetic kitchen)
ifeq ($(strip $(SEEDS)),)
	$(BIN)/leaplan fit --config $(PLAN) $(ROOT) $(MORE)
else
	@for seed in $(SEEDS); do \
	  $(BIN)/leaplan fit --config $(PLAN) $(ROOT) --seed_everything $$seed \
	    --name $(notdir $(basename $(PLAN)))-seed$$seed $(MORE) || exit $$?; \
	done
	$(BIN)/leaplan score --seeds $(foreach seed,$(SEEDS),runs/$(notdir $(basename $(PLAN)))-seed$(seed)/predictions/test.jsonl)
endif

train-leap: nodes programs  ## Train LEAP's recogniser and anticipator with and without programs (default: the synthetic kitchen)
ifneq ($(strip $(CONFIG)),)
	$(BIN)/leaplan fit --config $(CONFIG) $(ROOT) $(MORE)
else
	@set -e; for seed in $(or $(strip $(SEEDS)),7); do \
	  run="--seed_everything $$seed --finished skip"; \
	  $(BIN)/leaplan fit --config $(LEAP)recognise_kitchen.yaml $$run --name leap-recognise-$$seed $(MORE) $(BESIDE); \
	  $(BIN)/leaplan fit --config $(LEAP)recognise_kitchen.yaml $$run --name leap-recognise-plain-$$seed \
	    --data.programs null $(MORE); \
	  wait $$with; \
	  start="--model.start_from runs/leap-recognise-$$seed/checkpoints/best.ckpt"; \
	  $(BIN)/leaplan fit --config $(LEAP)anticipate_kitchen.yaml $$run $$start --name leap-anticipate-$$seed $(MORE) $(BESIDE); \
	  $(BIN)/leaplan fit --config $(LEAP)anticipate_kitchen.yaml $$run $$start --name leap-anticipate-features-$$seed \
	    --model.context features $(MORE); \
	  wait $$with; \
	done
	$(BIN)/leaplan compare "no programs=runs/leap-recognise-plain-[0-9]*" "programs=runs/leap-recognise-[0-9]*"
	$(BIN)/leaplan compare "features only=runs/leap-anticipate-features-[0-9]*" "features and programs=runs/leap-anticipate-[0-9]*"
endif

programs: setup  ## Make action programs of the synthetic kitchen by rules, and score them
	$(BIN)/leaplan check-data synthetic --root ~/.cache/leaplan
	$(BIN)/leaplan generate-programs --dataset kitchen --out programs/kitchen
	$(BIN)/leaplan check-programs programs/kitchen/programs.jsonl --root ~/.cache/leaplan --truth ~/.cache/leaplan

test: setup-dev  ## Run the fast tests
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: setup-dev  ## Run the slow tests
	$(BIN)/python -m pytest -m slow -n auto --dist worksteal --durations 12

lint: setup-dev  ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: setup-dev  ## Check types
	$(BIN)/mypy

bench: setup  ## Measure speed and memory (BENCHES="planner recogniser" for some)
	@set -e; for each in $(BENCHES); do $(BIN)/leaplan bench $$each; done

clean:  ## Remove the virtual environment and caches; runs stay
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache src/*.egg-info
