.DEFAULT_GOAL := help
.PHONY: help setup run test compat test-series fuzz soak demo fmt cover

DURATION ?= 10m
FUZZTIME ?= 30s
N ?= 10
BURN ?= 0

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

setup: ## install what the tests need (as root or with CI set; else print the command)
	@scripts/setup

test: setup ## run all checks and tests
	@scripts/test

compat: ## run all checks and tests on Valkey 8, downloaded into a cache folder
	@scripts/compat

test-series: setup ## run make test N (10) times in fresh clones, beside BURN (0) busy processes
	@N=$(N) BURN=$(BURN) scripts/series

fuzz: setup ## run each fuzz target for FUZZTIME (30s)
	@FUZZTIME=$(FUZZTIME) scripts/fuzz

soak: setup ## run random faults on real servers for DURATION (10m), then 200 rounds of deploys
	ROLLCALL_SOAK=$(DURATION) go test -race -count=1 -timeout 0 -v -run '^TestNemesis$$' ./faults/nemesis
	ROLLCALL_SOAK=$(DURATION) go test -race -count=1 -timeout 0 -v -run '^TestDeploys' ./faults ./grpcresolver

run: ## build rollcall and serve Consul's HTTP API on 127.0.0.1:8500, on memory
	@go build -o bin/rollcall ./cmd/rollcall && exec bin/rollcall serve

demo: ## start, kill and stop servers while a watch shows it
	@go run ./cmd/rollcall demo

fmt: ## format all Go files
	@gofmt -l -w .

cover: setup ## measure test coverage of all modules
	@scripts/cover

.PHONY: figures

figures: setup ## print the worst of N (10) runs of the fault suite, per figure
	@N=$(N) scripts/figures

.PHONY: bench bench-full scale
RUNS ?= 1

bench: setup ## measure every performance goal against a naive client and the limits (6 minutes)
	@go test -run '^$$' -bench '^BenchmarkGoals$$' -benchtime 1x -timeout 20m ./bench
	@go test -run '^$$' -bench 'Cost$$' -benchmem ./balance

bench-full: setup ## run bench RUNS (1) times, growth curves and peers; write docs/benchmarks.md
	@RUNS=$(RUNS) bench/full

scale: setup ## measure costs per operation; write docs/scale.md: what one primary carries
	@go run ./bench/scale -measure -o docs/scale.md

.PHONY: tidy release release-check dist dist-check

tidy: ## run go mod tidy in the published modules, which require each other
	@GOWORK=off go -C scripts/tools run ./release tidy

release-check: ## install the modules as users would, from a module proxy on disk
	@scripts/release-check

release: ## commit the requirements of VERSION (v1.2.3) and tag the modules, only locally
	@GOWORK=off go -C scripts/tools run ./release prepare "$(VERSION)"

dist: ## build the static programs of a release and SHA256SUMS in dist/ (VERSION: by Git)
	@VERSION=$(VERSION) scripts/dist

dist-check: ## build the programs twice, elsewhere and with empty caches, and compare
	@scripts/dist-check
