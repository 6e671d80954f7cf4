# make test    everything that must hold: what CI runs
# make check   format, vet, staticcheck, golangci-lint, layering
# make chaos   every fault that there is, under load: 10,000 plans in virtual time, 200 on
#              each real server (CHAOS=, CHAOS_REAL=), and what switching rules off does
# make rotation  passwords that change every 2 s for a minute, on each real server, in all styles
# make group   failovers of a MySQL group replication of three real members, minutes
# make property  random programs of sessions over three connections, 100,000 statements each
# make bench   benchmarks, ten times each, summarized by benchstat
# make fuzz    200,000 inputs for every fuzz target (FUZZTIME=10000000x for more)
#
# The tools are pinned in tools.mod and built by the first command that needs them:
# gofumpt and staticcheck in half a minute, golangci-lint (make check) in a few.

GO   ?= go
TOOL := $(GO) tool -modfile=tools.mod

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c

# Modules below the root's, each with its own go.mod.
NESTED := $(patsubst ./%/go.mod,%,$(shell find . -mindepth 2 -name go.mod -not -path '*/testdata/*'))

TIMEOUT  ?= 30m
# A count, not a time: go test fails now and then when the time is over (go.dev/issue/75804).
FUZZTIME ?= 200000x
BENCH    ?= .
COUNT    ?= 10
# The packages of the root's module that have benchmarks.
PKG      ?= $(filter-out $(foreach m,$(NESTED),./$(m) ./$(m)/%),$(shell grep -rlE --include='*_test.go' '^func Benchmark' . | xargs -n 1 dirname | sort -u))

.PHONY: test check bench chaos rotation group fuzz format vet staticcheck lint layering unit property property-short fuzz-short tidy

test: format vet staticcheck layering fuzz-short unit property-short

check: format vet staticcheck lint layering

format:
	@echo 'gofumpt -l'
	@files=$$($(TOOL) gofumpt -l .); \
	if [ -n "$$files" ]; then echo "not formatted by gofumpt:"; echo "$$files"; exit 1; fi

vet:
	$(GO) vet ./...
	@for m in $(NESTED); do echo "vet $$m"; $(GO) -C $$m vet ./...; done

staticcheck:
	$(TOOL) staticcheck ./...
	@tool=$$($(TOOL) -n staticcheck); \
	for m in $(NESTED); do echo "staticcheck $$m"; (cd "$$m" && "$$tool" ./...); done

lint:
	$(TOOL) golangci-lint run ./...

layering:
	$(GO) test -run '^TestLayering' -count 1 .

unit:
	@for m in $(NESTED); do echo "test $$m"; $(GO) -C $$m test -race -timeout $(TIMEOUT) ./...; done
	$(GO) test -race -timeout $(TIMEOUT) ./...

# Random programs of this many statements each, five for each server, without the race
# detector, which has seen shorter ones.
PROPERTY ?= 100000
property:
	FP_PROPERTY_STATEMENTS=$(PROPERTY) CI=true $(GO) test -count 1 -timeout $(TIMEOUT) -run '^TestPropertySessions$$' ./driver

property-short:
	$(if $(CI),@$(MAKE) --no-print-directory property PROPERTY=20000)

# Plans of faults. A failure prints the command that replays it.
CHAOS      ?= 10000
CHAOS_REAL ?= 200
chaos:
	FP_CHAOS_SEEDS=$(CHAOS) $(GO) test -count 1 -timeout 2h -run '^TestChaos$$' ./driver
	FP_CHAOS_REAL=$(CHAOS_REAL) CI=true $(GO) test -count 1 -timeout 2h -run '^TestRealChaos$$' ./driver
	FP_MUTATIONS=all $(GO) test -count 1 -timeout 30m -v -run '^TestMutations$$' ./driver

rotation:
	FP_ROTATION=1m CI=true $(GO) test -count 1 -timeout 30m -v -run '^TestRotation$$' ./driver

group:
	FP_GROUP=1 CI=true $(GO) test -count 1 -timeout 30m -v -run '^TestGroup' ./driver

# go test fuzzes one target of one package at a time.
fuzz:
	@grep -rlE --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do \
		for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$$file"); do \
			echo "fuzz $$(dirname "$$file") $$target $(FUZZTIME)"; \
			$(GO) -C "$$(dirname "$$file")" test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) .; \
		done; \
	done

fuzz-short:
	@$(MAKE) --no-print-directory fuzz FUZZTIME=2000x

# The results stay in new.bench; compare with benchstat old.bench new.bench. The raw
# driver and ours are columns side by side, everything else has one column.
bench:
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 60m $(PKG) | tee new.bench
	@$(TOOL) benchstat -filter '/driver:(mysql OR failoverproxy)' -col '/driver@(mysql failoverproxy)' new.bench
	@$(TOOL) benchstat -filter '-/driver:(mysql OR failoverproxy)' new.bench

tidy:
	$(GO) mod tidy
	@for m in $(NESTED); do echo "tidy $$m"; $(GO) -C $$m mod tidy; done
