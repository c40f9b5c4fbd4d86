package demo

import (
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/prefork/cluster/worker"
)

// RequestLog is how an application logs its requests from inside the handler, nil if it does not (kind is empty):
//
//	shared    a log.Logger: all handlers of a process wait for one mutex, and for who reads
//	handler   log/slog through worker.LogHandler: nobody waits
//
// Both write to standard error. An error says what else was given.
func RequestLog(kind string) (note func(method, path string), err error) {
	switch kind {
	case "":
		return nil, nil
	case "shared":
		logger := log.New(os.Stderr, "", log.LstdFlags|log.Lmicroseconds)
		return func(method, path string) { logger.Printf("request method=%s path=%q", method, path) }, nil
	case "handler":
		logger := slog.New(worker.LogHandler(false, nil))
		return func(method, path string) { logger.Info("request", "method", method, "path", path) }, nil
	}
	return nil, fmt.Errorf("CLUSTER_DEMO_LOG=%q is no way to log: write shared or handler", kind)
}
