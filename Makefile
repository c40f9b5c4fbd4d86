# make check must pass before a commit; .ci/run runs it and then the tests.

GOFUMPT     = mvdan.cc/gofumpt@v0.12.0
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build check fmt test

build:
	go build -o bin/ ./cmd/...

check:
	@files=$$(go run $(GOFUMPT) -l .) || exit 1; \
	if [ -n "$$files" ]; then echo "not formatted (make fmt):"; echo "$$files"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	go mod tidy -diff
	GOOS=darwin go build ./...
	GOOS=linux GOARCH=arm64 go build ./...
	go test -count=1 -run '^TestArchitecture' .

fmt:
	go run $(GOFUMPT) -w .

test:
	go test -race -shuffle=on ./...
