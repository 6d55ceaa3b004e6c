# Every target may be run twice; the second time is quick. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Without its version stamp a build depends on the sources alone. -trimpath keeps this folder's name out.
BUILD := go build -trimpath -buildvcs=false
INIT := internal/sandbox/init
# Tests with the race detector; e2e tests the built binary instead, which has none.
UNIT := go list ./... | grep -v '^hearth/e2e'

.PHONY: help up down build init runc hearth test unit e2e lint bench clean needs-build needs-run needs-bench needs-test

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: build needs-run ## Build, start a node in the background, deploy examples/hello
	@scripts/up.sh

down: ## Stop the node; only its data directory stays
	@scripts/down.sh

build: needs-build runc init hearth ## Build bin/hearth and bin/runc

# go build leaves what is up to date alone, and knows better than make what that is.
runc:
	@mkdir -p bin
	@[ -x bin/runc ] || echo "building runc: one to three minutes, once"
	@cd tools/runc && CGO_ENABLED=1 $(BUILD) -buildmode=pie -tags seccomp -ldflags '-s -w' -o ../../bin/runc github.com/opencontainers/runc

init:
	@for arch in amd64 arm64; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(BUILD) -ldflags '-s -w' -o $(INIT)/bin/init_linux_$$arch ./$(INIT)/pid1; \
	done

hearth: init
	@CGO_ENABLED=0 $(BUILD) -ldflags '-s -w -X main.version=$(VERSION)' -o bin/hearth ./cmd/hearth

test: build needs-test lint unit e2e ## Run the linters and all tests, as root; lists what was skipped

unit: init runc
	@go test -race -json $$($(UNIT)) | go run ./scripts/testreport
	@go test -json -run 'InTheImage|InTheBuildImage' ./internal/sandbox/image | go run ./scripts/testreport
	@go test -json -timeout 20m ./internal/module/builder | go run ./scripts/testreport

e2e: build
	@go test -timeout 60m -json ./e2e/... | go run ./scripts/testreport -v

lint: init ## Check format, go vet and staticcheck
	@bad=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); [ -z "$$bad" ] || { echo "not in gofmt's form:" $$bad; exit 1; }
	@go vet ./...
	@cd tools/lint && $(BUILD) -o ../../bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	@bin/staticcheck ./...
	@GOARCH=arm64 CGO_ENABLED=0 go build -o /dev/null ./cmd/hearth

bench: build needs-bench ## Measure calls and packages beside bare Node.js and npm
	@bin/hearth bench
	@bin/hearth bench --packages

clean: ## Remove what make built
	@rm -rf bin $(INIT)/bin/init_linux_*

needs-build:
	@scripts/need.sh gcc pkg-config=pkgconf libc6-dev libseccomp-dev

needs-run:
	@scripts/need.sh ca-certificates tzdata libatomic1 libstdc++6 libseccomp2 nft=nftables npm curl \
		gcc g++ make python3 pkg-config=pkgconf dash bash coreutils sed grep findutils tar gzip diffutils debianutils mawk

needs-bench: needs-run
	@scripts/need.sh node=nodejs nginx=nginx-light

needs-test: needs-run
	@scripts/need.sh node=nodejs strace
