# `make` alone lists the targets. The recipes are thin: what they do stands in scripts/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

ENV ?= dev
PROFILE ?=
ARGS ?=
OLLAMA ?= double
MODEL ?=

# The ports that the demo chose, for the verbs of its stack; it runs in the dev environment.
ifeq ($(ENV)$(filter check test fuzz zoo faults bench chaos docs coverage wheel release lock,$(MAKECMDGOALS)),dev)
-include .cache/demo/settings.mk
endif

# A make variable is not always in the environment of a recipe; these are the demo's.
demo: export OLLAMA := $(OLLAMA)
demo: export MODEL := $(MODEL)

# The verbs of the stack say nothing of what was there already.
up down switch diagnose status logs: export QUIET := 1

stack := scripts/stack $(ENV)

##@ Begin
.PHONY: help setup demo demo-down
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## "; print "usage: make TARGET [ENV=dev|prod] [PROFILE=local|host|…] [ARGS=…]" } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: env engine ## Python environment in .venv, and a Docker engine where none answers

demo: ## The whole path on the test double; OLLAMA=real MODEL=… for ollama/ollama
	@scripts/demo

demo-down: ## Take away what the demo made
	@scripts/demo-down

##@ The reference stack
.PHONY: up down switch diagnose status logs
up: setup images ## Bring it up; PROFILE=local, host or an instance
	@$(stack) up $(PROFILE) $(ARGS)

down: env ## Stop it, and remove its containers and networks
	@$(stack) down $(ARGS)

switch: env ## Point it at another Ollama: PROFILE=host, PROFILE=http://10.0.0.5:11434
	@: $${PROFILE:?say where to: make switch PROFILE=host}
	@$(stack) switch "$$PROFILE" $(ARGS)
switch: export PROFILE := $(PROFILE)

diagnose: env ## Find why it cannot use its Ollama
	@$(stack) diagnose $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

status: env ## What runs, and which Ollama each service really uses
	@$(stack) status $(ARGS)

logs: env ## Its logs; ARGS=-f follows them
	@$(stack) logs $(ARGS)

##@ Work on stackctl
.PHONY: env engine images test-tools check test fuzz zoo faults bench chaos docs coverage wheel release lock clean
env:
	@scripts/python-env

engine:
	@scripts/engine

images: setup ## Build the project's images, where something changed
	@scripts/images

test-tools:
	@scripts/test-tools

check: env ## Lint, format, types, who imports whom, signs of the diagnosis, shell, YAML, the generated page
	@scripts/check

test: setup images test-tools ## All tests on the real engine; ARGS goes to pytest
	@.venv/bin/pytest -n 4 $(ARGS)

zoo: setup images test-tools ## Random projects against the invariants; ARGS='--seeds 200' or '--seed 17'
	@.venv/bin/pytest -n 4 tests/zoo $(ARGS)

fuzz: env ## Every parser with FUZZ examples (default 20000) instead of a few
	@FUZZ=$${FUZZ:-20000} .venv/bin/pytest -n 2 tests/hostile/test_parsers.py $(ARGS)

faults: setup images test-tools ## The fault lab whole: every fault with each of the five kinds of consumer image
	@FAULT_LAB=$(or $(FAULT_LAB),all) .venv/bin/pytest -n 4 tests/faults $(ARGS)

bench: setup images ## Measure against plain Compose and the manual way; fails where a bar is missed
	@.venv/bin/python -m bench $(ARGS)

chaos: setup images ## Kill and break the stack in the middle of a switch, over and over
	@.venv/bin/python -m bench.chaos $(ARGS)

docs: env ## Write docs/cli.md, the reference of the command line, from the commands
	@.venv/bin/python scripts/cli_reference.py

coverage: env ## Which lines of the pure rooms their own tests run; ARGS goes to pytest
	@scripts/coverage $(ARGS)

wheel: env ## Build the wheel in dist/, and try it in an empty environment
	@scripts/wheel-check

release: check ## Version, changelog, tag, wheel and sdist, all here: VERSION=0.2.0
	@scripts/release $(VERSION)

lock: env ## Write the hashed locks anew; ARGS=--upgrade takes the newest versions
	@scripts/lock $(ARGS)

clean: ## Everything that was made here: the demo, images, .venv, caches. The engine stays
	@scripts/demo-down
	@docker image ls -q --filter label=io.stackctl.image=1 2>/dev/null | sort -u | xargs -r docker image rm -f >/dev/null || true
	@rm -rf .venv .cache dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
