# Targets carry their help in `## ` comments: make help.
SHELL      := /bin/bash
DEVSERVER  := bin/kontoflow-devserver
TOOLS      := bin/tools
# Servers that the shell names are for make run: tests create and drop databases.
GROUND     := env -u DATABASE_URL -u TEMPORAL_ADDRESS -u TEMPORAL_NAMESPACE ./bin/kontoflow up --
# What `make test` runs: PACKAGES='./api/... ./models/...' and TESTFLAGS='-run TestX -v' narrow it.
PACKAGES   ?= ./...
TESTFLAGS  ?= -race
# The tests that run without the race detector: hundreds of runs through code that other tests run with it.
NORACE     := ^TestLostCompletions$$

.DEFAULT_GOAL := help

.PHONY: run
run: build ## Bring up everything here, run one synchronization, stay (ONCE=1: end after it)
	@./bin/kontoflow up

.PHONY: test
test: build ## Run all tests, on a PostgreSQL and a Temporal server of their own
ifeq ($(origin PACKAGES) $(origin TESTFLAGS),file file)
	$(GROUND) go test -timeout 60m -race -skip '$(NORACE)' ./...
	$(GROUND) go test -timeout 60m -run '$(NORACE)' ./e2e
else
	$(GROUND) go test -timeout 60m $(TESTFLAGS) $(PACKAGES)
endif
	cd devserver && go vet ./...

.PHONY: bench
bench: build ## Measure against bare servers: a table of ratios, and bench.json
	$(GROUND) go run ./bench

.PHONY: lint
lint: bin/tools ## Check the code: gofmt, vet, staticcheck, workflowcheck, govulncheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	$(TOOLS)/staticcheck ./...
	cd devserver && ../$(TOOLS)/staticcheck ./...
	$(TOOLS)/workflowcheck -show-pos ./workflows/...
	@tools/govulncheck $(TOOLS)/govulncheck ./...

.PHONY: generate
generate: bin/tools ## Generate the tables of error codes, and the API's types and server interface from api/openapi.yaml
	go run ./internal/errortables
	cd api && ../$(TOOLS)/oapi-codegen -config oapi-codegen.yaml openapi.yaml

.PHONY: histories
histories: build ## Record what workflows do, for later releases to replay: on a release's code only
	RECORD_HISTORIES=$(CURDIR)/workflows/testdata $(GROUND) go test -count=1 -run TestHistories ./e2e

.PHONY: build
build: ## Build bin/kontoflow and the Temporal development server
	@[ -e $(DEVSERVER) ] || echo "building kontoflow and a Temporal server: some minutes the first time"
	@mkdir -p bin
	@go build -o bin/kontoflow .
	@cd devserver && go build -o ../$(DEVSERVER) .

bin/tools: tools/go.mod tools/go.sum
	@echo "building the developer tools"
	@mkdir -p $@
	@cd tools && go build -o ../$@/ tool
	@touch $@

.PHONY: clean
clean: ## Remove what was built, and the state of make run (for root, the database may be in /var/lib/kontoflow)
	rm -rf bin .data

.PHONY: help
help: ## Show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
