package main

import (
	"fmt"
	"os"

	"github.com/prefork/cluster/worker"
	"github.com/prefork/cluster/worker/demo"
)

// workerVerb is how the master runs its own program as a worker that serves the reference application. It is in no help
// text: by hand, cmd/worker is the same application.
const workerVerb = "worker"

func runWorker() int {
	handler, err := demo.Handler()
	if err == nil {
		err = worker.Serve(handler)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
