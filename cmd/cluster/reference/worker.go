// Package reference runs the reference application inside the command: as a worker, and bare. These processes are to be
// small, so nothing of the command line is built for them.
package reference

import (
	"fmt"
	"os"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/worker"
	"github.com/prefork/cluster/worker/demo"
	"github.com/prefork/cluster/worker/demo/fastdemo"
	"github.com/prefork/cluster/worker/fasthttpworker"
)

// WorkerVerb is how the master runs its own program as a worker that serves the reference application, on the engine that
// the environment names. It is in no help text: by hand, cmd/worker is the same application.
const WorkerVerb = "worker"

// RunWorker serves as a worker and returns an exit code.
func RunWorker() int {
	serve := serveNetHTTP
	if os.Getenv(ipc.EnvEngine) == "fasthttp" {
		serve = serveFastHTTP
	}
	if err := profiled(serve); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serveNetHTTP() error {
	handler, err := demo.Handler()
	if err != nil {
		return err
	}
	return worker.Serve(handler)
}

func serveFastHTTP() error {
	server, err := fastdemo.Server()
	if err != nil {
		return err
	}
	return fasthttpworker.ServeServer(server)
}
