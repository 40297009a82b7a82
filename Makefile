# All commands of the project. `make help` lists them.

SHELL := /bin/sh
CARGO ?= cargo
# All commands use one target directory and one feature set, so the AWS SDK is built once.
BUILD := $(CARGO) build --workspace --bins --locked
BIN := $(or $(CARGO_TARGET_DIR),target)/debug

.DEFAULT_GOAL := help
.PHONY: help demo test lint layers docs deny crds crds-check image sbom e2e install run mutants
.PHONY: chaos chaos-rogue chaos-docs chaos-sim chaos-planted loadtest loadtest-docs

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ## a booking from applied to finished, on a real API server and a simulated EC2 (KEEP=1: keep it up)
	@$(BUILD)
	@KEEP=$(KEEP) $(BIN)/demo

# With BUSY, with-control-plane starts busy threads and gives the tests longer deadlines (TEST_PATIENCE).
test: ## all tests, on a real API server, the simulated EC2 and moto (BUSY=4: beside 4 busy threads)
	@$(CARGO) build --workspace --all-targets --locked
	@$(BIN)/with-control-plane --busy $(or $(BUSY),0) -- \
		$(CARGO) test --workspace --locked --no-fail-fast -- --test-threads=8

lint: ## format, clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy -p chaos --features injected-bugs --all-targets --locked -- -D warnings

layers: ## check which crates and files use each other: layers/allowed.yaml, no circles of files across folders
	@$(CARGO) run -q -p layers --locked

docs: ## build the crates' documentation; warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

deny: ## check dependencies: bans, licences, sources (CHECKS=advisories: known vulnerabilities)
	$(CARGO) deny --all-features check $(or $(CHECKS),bans licenses sources)

# Each of these has CRDs of its own, in a folder of crds/.
CRD_FAMILIES := bookings ring

crds: ## write crds/ from the types
	@$(BUILD)
	@set -e; for family in $(CRD_FAMILIES); do \
		mkdir -p crds/$$family; $(BIN)/booking-operator crds --family=$$family > crds/$$family/crds.yaml; done

crds-check: ## fail if crds/ differ from the types
	@$(BUILD)
	@for family in $(CRD_FAMILIES); do \
		$(BIN)/booking-operator crds --family=$$family | diff -u crds/$$family/crds.yaml - \
			|| { echo "crds/$$family is not what the types say: run make crds"; exit 1; }; done

# The file of the bill of materials. With SBOM= on the command line neither it nor the tool for it is built.
SBOM ?= target/image/booking-operator.cdx.json

image: $(if $(SBOM),sbom) ## build the images of the operator and of the simulated cloud (IMAGE=booking-operator:0.1.0)
	@SBOM=$(SBOM) deploy/image/build.sh booking-operator $(or $(IMAGE),booking-operator:0.1.0)
	@deploy/image/build.sh ec2-simulator $(or $(SIMULATOR_IMAGE),booking-cloud-simulator:0.1.0)

sbom: ## write the operator's bill of materials (CycloneDX) into target/image
	@deploy/image/sbom.sh $(SBOM)

e2e: ## test the installed operator on kind, k3d or a node of its own; needs root (ARGS=--short, --keep, --own)
	@$(BUILD)
	@$(BIN)/e2e $(ARGS)

install: ## install the CRDs into the current cluster (FAMILY=...: those of one family)
	kubectl apply -k crds/$(FAMILY)

run: ## run the operator on the current cluster and the AWS account of the environment (ARGS=...)
	@$(BUILD)
	@$(BIN)/booking-operator $(ARGS)

mutants: ## mutate decisions and protocol: which tests assert nothing? (needs cargo-mutants; hours)
	PROPTEST_CASES=32 $(CARGO) mutants -p bookings --timeout 60 -- --tests
	PROPTEST_CASES=32 $(CARGO) mutants -p booking-ring --exclude 'src/ring/src/kubernetes/**' --timeout 60 -- --lib

# Optimised builds, because the operator is measured and not the overhead of a debug build.
CHAOS_BUILD := $(CARGO) build --profile sim --workspace --bins --locked
CHAOS_LIVE := $(or $(CARGO_TARGET_DIR),target)/sim/chaos-live

chaos: ## cause faults in live processes: KILLS=40 of each kind, KIND=rollout (all), OLD=binary, RINGS=6, SEED=...
	@$(CHAOS_BUILD)
	@$(CHAOS_LIVE) --kills=$(or $(KILLS),40) --rings=$(or $(RINGS),6) \
		$(if $(KIND),--kind=$(KIND)) $(if $(OLD),--old=$(OLD)) $(if $(SEED),--seed=$(SEED))

chaos-rogue: ## chaos with a process that works on slots of others; fails unless the checker finds it
	@$(CHAOS_BUILD)
	@$(CHAOS_LIVE) --rogue --kills=3 --rings=1 --kind=sigkill

chaos-docs: ## copy the last picture of all kinds of faults from make chaos into docs/
	@test -f target/chaos/failover.svg \
		|| { echo "no picture of all kinds of faults: run make chaos without KIND"; exit 1; }
	@cp target/chaos/failover.svg docs/failover.svg

chaos-sim: ## simulate replicas under faults: SEEDS=n runs (1000), or run SEED=k with its history
	@$(CARGO) run -q --profile sim -p chaos --bin chaos-sim --locked -- \
		--seeds $(or $(SEEDS),1000) $(if $(SEED),--seed $(SEED))

# It has a binary of its own, so that nobody takes a build with injected bugs for the product.
chaos-planted: ## simulate each injected bug, SEEDS=n runs at most (2000); fails unless all are found
	@$(CARGO) run -q --profile sim -p chaos --features injected-bugs --bin chaos-planted --locked -- \
		--seeds $(or $(SEEDS),2000)

# Measurements need optimised code. QUICK only shows whether anything broke, so it uses the debug build of the tests.
loadtest: ## measure the operator under load: QUICK=1 (minutes), SCENARIO=due_at_once,steady (all), ARGS=...
	@$(if $(QUICK),$(BUILD),$(CHAOS_BUILD))
	@$(or $(CARGO_TARGET_DIR),target)/$(if $(QUICK),debug,sim)/loadtest $(if $(QUICK),--quick) \
		$(if $(SCENARIO),--scenario=$(SCENARIO)) $(ARGS)

loadtest-docs: ## copy the last pictures of all scenarios and of growth from make loadtest into docs/
	@test -f target/loadtest/report.svg \
		|| { echo "no picture of all scenarios: run make loadtest without SCENARIO and QUICK"; exit 1; }
	@cp target/loadtest/report.svg docs/load.svg
	@test ! -f target/loadtest/growth.svg || cp target/loadtest/growth.svg docs/growth.svg
