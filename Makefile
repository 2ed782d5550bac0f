# One command for everything. `make run` tries it out, `make test` says whether it is right.

CARGO ?= cargo
# What the tests of real storage need; `make run` needs the first only, to attach volumes.
RUN_PACKAGES := tgt
TEST_PACKAGES := tgt libiscsi-bin qemu-utils qemu-block-extra python3-venv golang-go golang-github-gophercloud-gophercloud-dev
GUEST_PACKAGES := mmdebstrap user-mode-linux e2fsprogs procps

.PHONY: run test lint format clippy deny unit docs clients guest-test bench help

help: ## Say what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST)

run: ## Run the service with defaults; state in ~/.local/state/pumice
	@scripts/install-packages $(RUN_PACKAGES) || echo "Going on without: volumes cannot be attached." >&2
	@exec $(CARGO) run --quiet --locked -- serve

test: ## All that must pass: format, clippy, tests, documentation, real clients
	@scripts/install-packages $(TEST_PACKAGES)
	@$(MAKE) --no-print-directory format clippy deny unit docs clients

lint: format clippy deny docs ## What needs no running service

format:
	@$(CARGO) fmt --check

clippy:
	@$(CARGO) clippy --quiet --locked --all-targets -- -D warnings

# Advisories need their list from the network: where it cannot be had, that is said, and the rest is checked.
deny:
	@if ! $(CARGO) deny --version >/dev/null 2>&1; then \
		echo "cargo-deny is not installed: licences and advisories were not checked" >&2; \
	else \
		$(CARGO) deny --log-level error check licenses bans sources >/dev/null && \
		if $(CARGO) deny --log-level off fetch db >/dev/null 2>&1; \
		then $(CARGO) deny --log-level error check advisories >/dev/null; \
		else echo "the list of advisories cannot be had: they were not checked" >&2; fi; \
	fi

unit: ## Tests in Rust
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --locked --cargo-quiet --status-level fail --final-status-level fail; \
	else $(CARGO) test --quiet --locked --lib --bins --tests; fi
	@$(CARGO) test --quiet --locked --doc

docs:
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --locked --no-deps

clients: ## Tests with real clients against real processes and real iSCSI
	@$(CARGO) build --quiet --locked --bin pumice
	@tests/clients/run

guest-test: ## Let a real kernel's initiator attach a volume, in a guest (tests/guest/README.md)
	@scripts/install-packages $(GUEST_PACKAGES)
	@$(CARGO) build --quiet --locked --bin pumice
	@tests/guest/build target/guest
	@tests/guest/run target/guest attach.py

bench: ## Measure
	@$(CARGO) bench --quiet --locked --bench bench
