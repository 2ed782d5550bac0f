# One command for everything. `make run` tries it out, `make test` says whether it is right.

CARGO ?= cargo
# What the tests of real storage need; `make run` needs the first only, to attach volumes.
RUN_PACKAGES := tgt
TEST_PACKAGES := e2fsprogs tgt libiscsi-bin qemu-utils qemu-block-extra python3-venv golang-go golang-github-gophercloud-gophercloud-dev \
	etcd-server etcd-client iproute2 curl faketime strace
GUEST_PACKAGES := mmdebstrap user-mode-linux e2fsprogs procps python3-venv
# What a program of the guest is told: make guest-kills GUEST_ARGS="--seconds 300 --seed 7".
GUEST_ARGS ?=
# How many runs of the simulation: make sim SEEDS=20000.
SEEDS ?= 2000
# How many of its seeds are run twice: make sim-replay REPLAYS=10000.
REPLAYS ?= 1000
# How often the soak kills: make soak KILLS=10000.
KILLS ?= 1000
# How many faults: make cluster-soak FAULTS=1000.
FAULTS ?= 500
# What is checked with a broker: make notifications-amqp NOTIFICATIONS_ARGS="delivery --changes 1000".
NOTIFICATIONS_ARGS ?=
# How many requests are drawn for each operation: make api-fuzz EXAMPLES=500.
EXAMPLES ?= 30
GUEST_RUN := tests/guest/run target/guest

.PHONY: run test lint format clippy deny unit docs clients clients-cluster clients-table api-fuzz tempest tempest-keystone notifications-amqp sim sim-replay soak cluster-soak bench help \
	guest-image guest-test guest-attach guest-storage guest-wipe guest-faults guest-kills guest-migrate guest-matrix guest-lio guest-nvmet guest-bench

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

# A build of its own: the simulated network is in the place of TCP, and the flag lets tokio draw from the seed, too.
sim: ## The service on a simulated network, thousands of times (SEEDS=n, or PUMICE_SIM_SEED=n for one)
	@PUMICE_SIM_SEEDS=$(SEEDS) RUSTFLAGS="--cfg tokio_unstable" $(CARGO) test --quiet --locked --profile sim --features sim \
		--test sim_service --test sim_cluster --test sim_transport -- --nocapture

sim-replay: ## Each seed of the simulations twice: the same events both times (REPLAYS=n)
	@PUMICE_SIM_REPLAYS=$(REPLAYS) RUSTFLAGS="--cfg tokio_unstable" $(CARGO) test --quiet --locked --profile sim --features sim \
		--test sim_service --test sim_cluster --test sim_transport -- --nocapture a_seed_is_the_same_run_again

soak: ## Kill the nodes of a real service under load, a thousand times (KILLS=n; PUMICE_SOAK_SEED=n for the same choices)
	@scripts/install-packages $(RUN_PACKAGES)
	@PUMICE_SOAK_KILLS=$(KILLS) PUMICE_SOAK_EVERY=100 $(CARGO) test --quiet --locked --test soak -- --nocapture

cluster-soak: ## Three control nodes, three members of etcd and four volume nodes in network namespaces: killed, stopped, cut off (FAULTS=n; PUMICE_CLUSTER_SEED=n)
	@scripts/install-packages $(RUN_PACKAGES) etcd-server etcd-client iproute2 faketime
	@PUMICE_CLUSTER_FAULTS=$(FAULTS) PUMICE_CLUSTER_EVERY=25 $(CARGO) test --quiet --locked --test cluster -- --nocapture

docs:
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --locked --no-deps

clients: ## Tests with real clients against real processes and real iSCSI
	@$(CARGO) build --quiet --locked --bin pumice
	@tests/clients/run

clients-cluster: ## The tests of clients that share a service, against three control nodes on etcd behind a balancer
	@scripts/install-packages $(TEST_PACKAGES)
	@$(CARGO) build --quiet --locked --bin pumice
	@files=$$(cd tests/clients && grep -lE '\((either|shared)\b|, (either|shared)\b' test_*.py) && \
		CONTROL_NODES=3 tests/clients/run $$files

clients-table: ## Every call of every client, compared with docs/reference/clients.md (UPDATE=1 writes it)
	@scripts/install-packages $(TEST_PACKAGES)
	@$(CARGO) build --quiet --locked --bin pumice
	@CLIENTS_TABLE=1 tests/clients/run test_clients_table.py

api-fuzz: ## Over 10,000 requests drawn from the OpenAPI document (EXAMPLES=n of each operation; FUZZ_SEED=n for others)
	@scripts/install-packages $(TEST_PACKAGES)
	@$(CARGO) build --quiet --locked --bin pumice
	@FUZZ_EXAMPLES=$(EXAMPLES) tests/clients/run -s test_api_fuzz.py

tempest: ## Tempest's block storage tests against a service of its own, with users that Tempest makes (UPDATE=1 writes the list of passes)
	@scripts/install-packages tgt python3-venv curl
	@$(CARGO) build --quiet --locked --bin pumice
	@tests/tempest/run

notifications-amqp: ## Notifications with a real RabbitMQ that is killed, read by oslo.messaging; and what a dead one costs
	@scripts/install-packages rabbitmq-server python3-venv
	@$(CARGO) build --quiet --locked --bin pumice
	@tests/notifications/run $(NOTIFICATIONS_ARGS)

tempest-keystone: ## The same with the users of a real Keystone
	@IDENTITY=keystone TEMPEST_WORK=$(CURDIR)/target/tempest-keystone $(MAKE) --no-print-directory tempest

guest-image:
	@scripts/install-packages $(GUEST_PACKAGES)
	@$(CARGO) build --quiet --locked --bin pumice
	@tests/guest/build target/guest

guest-test: guest-image ## Real storage, a real kernel's initiator, storage that fails: in guests (tests/guest/README.md)
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target guest-attach guest-storage guest-wipe guest-faults GUEST_ARGS=

# A guest has one CPU: two of these run side by side.
guest-attach:
	@$(GUEST_RUN) attach.py

guest-storage:
	@$(GUEST_RUN) storage.py

guest-wipe:
	@GUEST_TIME_LIMIT=3600 $(GUEST_RUN) wipe.py

guest-faults:
	@$(GUEST_RUN) faults.py --short

guest-kills: guest-image ## Kill everything again and again under load, in a guest
	@GUEST_DISK_SIZE=$${GUEST_DISK_SIZE:-60G} $(GUEST_RUN) kills.py $(GUEST_ARGS)

guest-migrate: guest-image ## Move a volume between two hosts while their nodes are killed, in a guest
	@GUEST_TIME_LIMIT=$${GUEST_TIME_LIMIT:-3600} $(GUEST_RUN) migrate.py $(GUEST_ARGS)

guest-matrix: guest-image ## Kill at each step and each command of LVM, in a guest: GUEST_ARGS="thin-lio", half an hour for each backend
	@GUEST_TIME_LIMIT=$${GUEST_TIME_LIMIT:-7200} GUEST_DISK_SIZE=$${GUEST_DISK_SIZE:-60G} $(GUEST_RUN) matrix.py $(GUEST_ARGS)

guest-lio: guest-image ## Let LIO alone prove itself, verb by verb, in a guest
	@$(CARGO) build --quiet --locked --example target_verbs
	@PUMICE_BIN=$${CARGO_TARGET_DIR:-target}/debug/examples/target_verbs $(GUEST_RUN) lio.sh

guest-nvmet: ## Let nvmet prove itself, in a guest with a kernel that has it (tests/guest/nvmet/README.md)
	@scripts/install-packages mmdebstrap cpio
	@$(CARGO) build --quiet --locked --example target_verbs
	@tests/guest/nvmet/build target/guest-nvmet
	@tests/guest/nvmet/run target/guest-nvmet verbs.sh

guest-bench: guest-image ## Measure beside the bare commands, in a guest
	@$(CARGO) build --quiet --locked --release --bin pumice
	@PUMICE_BIN=$${CARGO_TARGET_DIR:-target}/release/pumice $(GUEST_RUN) bench.py $(GUEST_ARGS)

bench: ## Measure
	@$(CARGO) bench --quiet --locked --bench bench
