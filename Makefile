# The one door to every command. `make help` lists them; each line with two # says what its target does.
# PG=18 chooses a PostgreSQL major version (default: the newest that Debian's packages installed).

PG ?=
export PG

.DEFAULT_GOAL := help
.PHONY: check-released help demo test test-core test-pg encoder-test regress bench cluster install package package-test package-lint fmt fmt-check lint clippy shellcheck deny pgspot clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: ## see it work: install what is missing, back up a sample database, check it, restore it, compare
	@scripts/demo

test: ## install what is missing and run all tests on the packaged PostgreSQL
	@scripts/install test
	@scripts/test

test-core: ## the tests that need no PostgreSQL, in seconds
	cargo test --package walwarden-core --package walwarden-store

test-pg: ## all tests on one version: make test-pg PG=18 (17 and 18: scripts/postgresql-from-source)
	@scripts/test "$(PG)"

encoder-test: ## ten million values of each type, written by the direct encoder and by COPY, and compared: half an hour or more
	@scripts/encoder-test "$(PG)"

regress: ## the tests of the SQL surface in pg_regress/
	@scripts/install-extension "$(PG)" dev
	@scripts/regress "$(PG)"

bench: ## time, size, memory and disk beside pg_dump, COPY and pg_restore (docs/bench.md); WALWARDEN_BENCH_SCALE=8 for a quick look, WHAT=operations for many databases and a long history, WHAT=encoder for the encoder beside COPY
	@scripts/install test
	@scripts/bench "$(PG)" $(WHAT)

cluster: ## psql on a throw-away cluster with walwarden
	@scripts/cluster "$(PG)"

install: ## build for use and install into a PostgreSQL: make install PG=15
	@scripts/install demo
	@scripts/install-extension "$(PG)" release

package: ## Debian packages in target/package/: make package PG=15
	@scripts/package "$(PG)"

package-test: ## make the packages, install them into a fresh root file system, follow docs/install.md there, remove them
	@scripts/package-test

package-lint: ## META.json, the Kubernetes examples and the Dockerfile against what they must fit
	@scripts/install package-test
	@packaging/check.py

fmt: ## format the Rust sources
	cargo fmt --all

lint: fmt-check shellcheck check-released clippy ## everything that looks at the sources without running them, but for deny

fmt-check:
	cargo fmt --all --check

check-released:
	@scripts/check-released

clippy:
	@scripts/clippy

shellcheck:
	shellcheck --external-sources .ci/run $$(grep --files-with-matches --recursive -e '^#!/usr/bin/env bash' -e '^# shellcheck shell=bash' scripts packaging) \
		crates/walwarden-core/src/evidence/verify.sh monitoring/check_walwarden

deny: ## licences, duplicate and forbidden crates, where they come from, known vulnerabilities
	@scripts/deny

pgspot: ## unsafe search paths and the like in the extension's SQL
	@scripts/pgspot "$(PG)"

clean: ## remove what was built here (the cache of tools and PostgreSQL stays)
	cargo clean
