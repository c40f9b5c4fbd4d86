//go:build linux

package sockets

import (
	"encoding/json"
	"os"
	"testing"
)

// envGiven makes the test binary a program that was given sockets: it prints what it has found.
const envGiven = "CLUSTER_TEST_GIVEN"

func TestMain(m *testing.M) {
	if plan := os.Getenv(envGiven); plan != "" {
		if err := json.NewEncoder(os.Stdout).Encode(useGiven(plan)); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
