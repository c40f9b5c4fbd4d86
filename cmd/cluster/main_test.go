package main

import (
	"io"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Variables that make this test binary something else than a run of the tests.
const (
	envCommand = "CLUSTER_TEST_COMMAND" // it is the command `cluster`
	envLeash   = "CLUSTER_TEST_LEASH"   // it ends when its standard input does: a test that is killed leaves no master
	envMark    = "CLUSTER_TEST_MARK"    // on every process of one cluster, to find those that are left
)

// A program with the race detector sleeps for a second before it exits, each worker and each verb, unless told not to.
const (
	envRace     = "GORACE"
	noRaceSleep = "atexit_sleep_ms=0"
)

// programs are what this binary is as a worker: `cluster start -- BINARY NAME` (testBinary) runs programs[NAME]. A test
// file adds its own in a variable declaration or an init.
var programs = map[string]func(){}

// TestMain lets the test binary be the command: for testscript by its name, for startCluster by a variable. Both are
// masters, and a master runs its own file as a worker: that has a seat, and argv[0] says nothing.
func TestMain(m *testing.M) {
	if _, worker := os.LookupEnv("CLUSTER_SEAT"); worker {
		if program := programs[argument(1)]; program != nil {
			program()
			os.Exit(0)
		}
		os.Exit(run(os.Args))
	}
	if os.Getenv(envCommand) != "" {
		if os.Getenv(envLeash) != "" {
			go func() {
				_, _ = io.Copy(io.Discard, os.Stdin)
				os.Exit(1)
			}()
		}
		os.Exit(run(os.Args))
	}
	if os.Getenv(envRace) == "" {
		os.Setenv(envRace, noRaceSleep)
	}
	testscript.Main(m, map[string]func(){"cluster": func() { os.Exit(run(os.Args)) }})
}

func argument(i int) string {
	if i < len(os.Args) {
		return os.Args[i]
	}
	return ""
}
