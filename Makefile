# Every verb of the project. `make help` lists them.

SHELL := /bin/sh
CARGO ?= cargo
# One target directory and one feature set for all verbs: the AWS SDK is built once.
BUILD := $(CARGO) build --workspace --bins --locked
BIN := $(or $(CARGO_TARGET_DIR),target)/debug

.DEFAULT_GOAL := help
.PHONY: help demo test lint layers docs deny crds crds-check image sbom e2e install run mutants chaos chaos-rogue chaos-docs chaos-sim chaos-planted loadtest loadtest-docs

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ## discovery, a booking from applied to finished, a mail: on a real API server and a simulated EC2 (KEEP=1 leaves it up)
	@$(BUILD)
	@KEEP=$(KEEP) $(BIN)/demo

# With BUSY the tests also have more patience (TEST_PATIENCE): with-control-plane sees to both.
test: ## all tests, on a real API server, the simulated EC2 and moto (BUSY=4: beside 4 busy threads)
	@$(CARGO) build --workspace --all-targets --locked
	@$(BIN)/with-control-plane --busy $(or $(BUSY),0) -- $(CARGO) test --workspace --locked --no-fail-fast -- --test-threads=8

lint: ## format, clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy -p chaos --features planted --all-targets --locked -- -D warnings

layers: ## which crates and files may use each other: layers/allowed.yaml, no circles of files across folders
	@$(CARGO) run -q -p layers --locked

docs: ## the crates' documentation, warnings refused
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

deny: ## dependencies: bans, licences, sources (advisories: make deny CHECKS=advisories)
	$(CARGO) deny --all-features check $(or $(CHECKS),bans licenses sources)

# What has CRDs of its own: a folder of crds/ each.
CRD_FAMILIES := bookings ring

crds: ## write crds/ from the types
	@$(BUILD)
	@set -e; for family in $(CRD_FAMILIES); do \
		mkdir -p crds/$$family; $(BIN)/booking-operator crds --family=$$family > crds/$$family/crds.yaml; done

crds-check: ## refuse crds/ that differ from the types
	@$(BUILD)
	@for family in $(CRD_FAMILIES); do \
		$(BIN)/booking-operator crds --family=$$family | diff -u crds/$$family/crds.yaml - \
			|| { echo "crds/$$family is not what the types say: run make crds"; exit 1; }; done

# Where the bill of materials goes; none is made, nor the tool for it, with SBOM= on the command line.
SBOM ?= target/image/booking-operator.cdx.json

image: $(if $(SBOM),sbom) ## the operator's image from a static build, and the simulated cloud's: IMAGE=booking-operator:0.1.0
	@SBOM=$(SBOM) deploy/image/build.sh booking-operator $(or $(IMAGE),booking-operator:0.1.0)
	@deploy/image/build.sh ec2-simulator $(or $(SIMULATOR_IMAGE),booking-cloud-simulator:0.1.0)

sbom: ## what the operator is made of (CycloneDX), into target/image
	@deploy/image/sbom.sh $(SBOM)

e2e: ## the operator as it is installed: on the current kind or k3d cluster, or a node of its own; needs root (ARGS=--short, --keep, --own)
	@$(BUILD)
	@$(BIN)/e2e $(ARGS)

install: ## CRDs of bookings and the Ring into the current cluster (FAMILY=...: those of one family)
	kubectl apply -k crds/$(FAMILY)

run: ## the operator against the current cluster and the AWS account of the environment (ARGS=...)
	@$(BUILD)
	@$(BIN)/booking-operator $(ARGS)

mutants: ## mutate decisions and protocol: which tests assert nothing? (needs cargo-mutants; hours)
	PROPTEST_CASES=32 $(CARGO) mutants -p bookings --timeout 60 -- --tests
	PROPTEST_CASES=32 $(CARGO) mutants -p booking-ring --exclude 'src/ring/src/kubernetes/**' --timeout 60 -- --lib

# Optimised code of our own: what is measured is the operator, not the debug build's overhead.
CHAOS_BUILD := $(CARGO) build --profile sim --workspace --bins --locked
CHAOS_LIVE := $(or $(CARGO_TARGET_DIR),target)/sim/chaos-live

chaos: ## faults on live processes: KILLS=40 of each kind, KIND=rollout (all), OLD=binary, RINGS=6, SEED=...
	@$(CHAOS_BUILD)
	@$(CHAOS_LIVE) --kills=$(or $(KILLS),40) --rings=$(or $(RINGS),6) \
		$(if $(KIND),--kind=$(KIND)) $(if $(OLD),--old=$(OLD)) $(if $(SEED),--seed=$(SEED))

chaos-rogue: ## chaos with a process that works on what others own: fails unless the checker finds it
	@$(CHAOS_BUILD)
	@$(CHAOS_LIVE) --rogue --kills=3 --rings=1 --kind=sigkill

chaos-docs: ## the picture of all kinds of faults that make chaos drew last into docs/
	@test -f target/chaos/failover.svg \
		|| { echo "no picture of all kinds of faults: run make chaos without KIND"; exit 1; }
	@cp target/chaos/failover.svg docs/failover.svg

chaos-sim: ## simulate replicas under faults, SEEDS=n runs (1000), or the one of SEED=k with its history
	@$(CARGO) run -q --profile sim -p chaos --bin chaos-sim --locked -- \
		--seeds $(or $(SEEDS),1000) $(if $(SEED),--seed $(SEED))

# With a profile and a binary of its own: what has bugs in it is never taken for the product.
chaos-planted: ## simulate each bug that is put in on purpose, SEEDS=n runs at most (2000); fails unless all are caught
	@$(CARGO) run -q --profile sim -p chaos --features planted --bin chaos-planted --locked -- \
		--seeds $(or $(SEEDS),2000)

# What is measured is optimised code; QUICK tells whether anything broke, on the debug build that tests have made.
loadtest: ## measure the operator under load: QUICK=1 (minutes), SCENARIO=due_at_once,steady (all), ARGS=...
	@$(if $(QUICK),$(BUILD),$(CHAOS_BUILD))
	@$(or $(CARGO_TARGET_DIR),target)/$(if $(QUICK),debug,sim)/loadtest $(if $(QUICK),--quick) \
		$(if $(SCENARIO),--scenario=$(SCENARIO)) $(ARGS)

loadtest-docs: ## the pictures that make loadtest of all scenarios, and of growth, drew last into docs/
	@test -f target/loadtest/report.svg \
		|| { echo "no picture of all scenarios: run make loadtest without SCENARIO and QUICK"; exit 1; }
	@cp target/loadtest/report.svg docs/load.svg
	@test ! -f target/loadtest/growth.svg || cp target/loadtest/growth.svg docs/growth.svg
