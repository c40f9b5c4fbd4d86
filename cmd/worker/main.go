// Command worker is the reference application as a program of its own, and the example of how to write one:
//
//	cluster start -- worker        under the cluster
//	worker --bind tcp://:8080      alone
package main

import (
	"fmt"
	"os"

	"github.com/prefork/cluster/worker"
	"github.com/prefork/cluster/worker/demo"
)

func main() {
	handler, err := demo.Handler()
	if err == nil {
		err = worker.Serve(handler)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
