package main

import (
	"os"
	"testing"
)

func init() {
	programs["fasthttp"] = func() {
		os.Setenv("CLUSTER_ENGINE", "fasthttp")
		os.Exit(runWorker())
	}
}

// The same with the reference application on the other engine.
func TestNothingIsLostOnFastHTTP(t *testing.T) {
	nothingIsLost(t, "--", testBinary(t), "fasthttp")
}
