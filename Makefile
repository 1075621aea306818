# Needs Python 3.11 or newer, g++, make and perl. Everything else goes into .venv, once.

PYTHON ?= python3
IMAGES ?= 360
SOC_IMAGES ?= 50
MODEL ?= models/ptb-char/ptb-char.safetensors
CASE ?= digits
VENV := .venv
BIN := $(VENV)/bin
CODE := golden hw sim firmware formal tests

.DEFAULT_GOAL := help
.PHONY: help demo demo-lm soc litex test fuzz formal lint bench registers clean

help: ## List what can be made.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/base ## Run handwritten digits through the simulated core; IMAGES=20 is a short form.
	$(BIN)/python -m sim.demo --images $(IMAGES)

demo-lm: $(VENV)/base ## Let the simulated core continue a line that you type; MODEL=FILE is another network.
	$(BIN)/python -m sim.demo_lm --model $(MODEL)

soc: $(VENV)/test ## Run test images on the simulated RISC-V SoC; SOC_IMAGES=5 is a short form.
	$(BIN)/python -m sim.soc --images $(SOC_IMAGES)
	@echo "A bitstream of it: $(BIN)/python -m hw.soc --board ulx3s-85f (docs/soc.md)"

litex: $(VENV)/litex ## Simulate a LiteX SoC whose core reads its lists from DRAM; CASE=wide is another network.
	$(BIN)/python -m hw.litex.run --case $(CASE)

test: $(VENV)/test ## Run every test.
	$(BIN)/python -m pytest -n 2

fuzz: $(VENV)/test ## Fuzz the C driver and the host link with 12 million inputs.
	$(BIN)/python -m tests.firmware.fuzz

formal: $(VENV)/test ## Prove properties of the hardware.
	$(BIN)/python -m formal

lint: $(VENV)/test ## Check style and types.
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy

bench: $(VENV)/base ## Measure lane efficiency against the bars.
	$(BIN)/python -m sim.bench

# gnu99: later standards have it include assert.h, which a compiler for bare metal lacks.
registers: $(VENV)/test ## Write the registers' page, C header and HTML from their description.
	$(BIN)/peakrdl markdown hw/registers.rdl -o docs/registers.md
	$(BIN)/peakrdl c-header hw/registers.rdl --std gnu99 -o firmware/driver/egret_registers.h
	$(BIN)/peakrdl html hw/registers.rdl --title "Egret registers" -o build/registers
	@echo "HTML: $(BIN)/python -m http.server --directory build/registers, then http://localhost:8000"

clean: ## Remove what was built, but not .venv.
	rm -rf build

# Stamps: each exists when its packages are installed; a change of pyproject.toml installs again.

$(VENV)/base: pyproject.toml | $(VENV)/tools
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/test: pyproject.toml | $(VENV)/tools
	$(BIN)/pip install --quiet --editable ".[train,test]"
	touch $@ $(VENV)/base

$(VENV)/litex: pyproject.toml | $(VENV)/tools
	$(BIN)/pip install --quiet --editable ".[litex]"
	touch $@ $(VENV)/base

$(VENV)/tools:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
		|| { echo "error: $(PYTHON) is older than Python 3.11; give a newer one with make PYTHON=..."; exit 2; }
	@for tool in g++ perl; do command -v $$tool > /dev/null \
		|| { echo "error: $$tool is missing; install it with your system's package manager"; exit 2; }; done
	$(PYTHON) -m venv $(VENV)
	touch $@
