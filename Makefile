# Everything here works on a fresh Linux machine with Go; nothing needs root.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.DEFAULT_GOAL := help
.PHONY: help build demo test lint generate bench e2e clean bin/kubectl

help: ## show this list
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

build: ## build the four programs into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

demo: build ## start a mesh on this machine with Bookinfo behind its gateway
	bin/lateen up --detach samples/bookinfo

test: ## everything a contributor needs to trust a change
	$(GO) vet ./...
	$(GO) test -timeout 10m ./...
	$(GO) test -timeout 10m -race ./apiserver/... ./control/... ./proxy/... ./agent/... ./local/...

lint: ## gofmt, vet and golangci-lint (when installed)
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt -w on these"; exit 1; }
	$(GO) vet ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "golangci-lint is not installed: skipped"; fi

generate: ## rewrite what is derived from other files
	$(GO) generate ./...

bench: build ## measure one sidecar hop beside nginx and Envoy
	bench/hop.sh

e2e: build ## the stories of test/e2e on a mesh of their own
	$(GO) test -count=1 -timeout 20m -tags e2e ./test/e2e/...

# The real kubectl, for machines without one. It refuses to run without a version.
KUBECTL_VERSION := $(shell $(GO) list -m -f '{{.Version}}' k8s.io/kubectl 2>/dev/null | sed 's/^v0/v1/')
bin/kubectl:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X k8s.io/client-go/pkg/version.gitVersion=$(KUBECTL_VERSION) -X k8s.io/component-base/version.gitVersion=$(KUBECTL_VERSION)' -o bin/kubectl ./test/kubectl

clean: ## remove bin/
	rm -rf bin
