package main

import (
	"os"
	"testing"

	"github.com/prefork/cluster/cmd/cluster/reference"
)

func init() {
	programs["fasthttp"] = func() {
		os.Setenv("CLUSTER_ENGINE", "fasthttp")
		os.Exit(reference.RunWorker())
	}
}

// The same with the reference application on the other engine.
func TestNothingIsLostOnFastHTTP(t *testing.T) {
	nothingIsLost(t, "--", testBinary(t), "fasthttp")
}
