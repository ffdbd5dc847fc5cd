# make demo   three cities on this machine        make test   everything that can be checked here
# Needs Python 3.11 with venv. Every step is skipped when its inputs did not change.

PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed
CODE := protocol certs config node
# Detectors of entropy are off: the texts are full of digests and public keys. Settings that name a file hold no secret.
SECRETS := --disable-plugin HexHighEntropyString --disable-plugin Base64HighEntropyString --exclude-lines '_FILE"\]'
ARGS ?=
WORKERS ?= 2

.PHONY: setup demo test test-nightly check bench bench-nightly figure fonts docs

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing. Install it: sudo apt-get install python3.11 python3.11-venv"; exit 3; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv. Install it: sudo apt-get install python3.11-venv"; exit 3; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "setup: installing the locked requirements"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	@$(BIN)/tongban demo $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml $(CODE)
	@find $(CODE) tests bench docs .ci -type f -not -path '*/__pycache__/*' -not -path '*/vectors/*' -print0 \
		| xargs -0 -r $(BIN)/detect-secrets-hook $(SECRETS)
	$(BIN)/pytest -q tests/architecture

# The skips are printed last; STRICT=1 turns any skip into a failure.
test: setup check
	@STRICT=$(STRICT) $(BIN)/pytest -q -n $(WORKERS) --dist loadfile --ignore tests/architecture $(ARGS)

test-nightly: setup
	@STRICT=$(STRICT) $(BIN)/pytest -q -n $(WORKERS) --dist loadfile -m nightly $(ARGS)

# Every benchmark, raw data to bench/results, docs/performance.md from them. One: make bench ARGS="--only log"
bench: setup
	@$(BIN)/python -m bench.everything $(ARGS)

# The growth to ten million exchanges on both databases: half an hour, 40 GB of disk, nothing kept.
bench-nightly: setup
	@$(BIN)/python -m bench.growth --size 10000000 $(ARGS)

figure: setup
	@test -n "$(N)" || { echo "which figure? make figure N=13"; exit 2; }
	@set -- tests/figures/f$$(printf '%02d' $(N))_*.py; \
		test -f "$$1" || { echo "figure $(N) has no script in tests/figures yet"; exit 2; }; \
		$(BIN)/python "$$1"

# Fonts for printed papers where the system has none (fonts-noto-cjk): two files of an npm package under the OFL, about 57 MB.
# They lie beside the environment, never in the repository or the wheel. Noto Sans SC has no extension characters such as U+20BB7.
FONT_PACKAGE := @expo-google-fonts/noto-sans-sc@0.4.3
FONT_DIGEST := sha512-9rAwdFTFHbO/u6Cs0gj2jZbW74TGIiaFNQnXYH2s5wA1bzVkwbaviL4t8YUV642eGYjg86eH6DkAEQmfNHDncQ==
FONTS := .venv/share/fonts/tongban

fonts: setup
	@command -v npm >/dev/null || { echo "npm is missing. Install it: sudo apt-get install npm; or the fonts: sudo apt-get install fonts-noto-cjk"; exit 3; }
	@rm -rf $(FONTS).new && mkdir -p $(FONTS).new
	@cd $(FONTS).new && npm pack --silent $(FONT_PACKAGE) >/dev/null
	@found="sha512-$$(openssl dgst -sha512 -binary $(FONTS).new/*.tgz | base64 -w0)"; \
		test "$$found" = "$(FONT_DIGEST)" || { echo "$(FONT_PACKAGE) is not what was checked: $$found"; rm -rf $(FONTS).new; exit 1; }
	@cd $(FONTS).new && tar -xzf *.tgz --strip-components=2 --wildcards '*/NotoSansSC_400Regular.ttf' '*/NotoSansSC_700Bold.ttf' && rm -f *.tgz
	@rm -rf $(FONTS) && mv $(FONTS).new $(FONTS)
	@echo "fonts: Noto Sans SC is in $(FONTS)"

docs: setup
	@$(BIN)/pytest -q tests/architecture/test_pages.py
