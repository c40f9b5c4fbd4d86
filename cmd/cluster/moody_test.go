package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/worker"
	"github.com/prefork/cluster/worker/demo"
)

// moody is a worker that is good in some generations and bad in others: `start -- BINARY moody 2=exits,3=hangs`.
func init() { programs["moody"] = moody }

func moody() {
	generation := os.Getenv("CLUSTER_GENERATION")
	mood := "good"
	for rule := range strings.SplitSeq(argument(2), ",") {
		if number, m, _ := strings.Cut(rule, "="); number == generation {
			mood = m
		}
	}
	var handler http.Handler
	handler, err := demo.Handler()
	if err != nil {
		panic(err)
	}
	switch mood {
	case "exits":
		fmt.Fprintln(os.Stderr, "this version does not start")
		os.Exit(7)
	case "hangs":
		select {}
	case "protocol":
		h, _, err := ipc.Inherit()
		if err != nil {
			panic(err)
		}
		c, err := ipc.OpenChannel(h.Control)
		if err != nil {
			panic(err)
		}
		_ = c.Send(ipc.Message{Type: ipc.Hello, ProtocolMin: 98, ProtocolMax: 99}, -1)
		select {}
	case "dies":
		err = worker.Serve(handler, worker.OnBoot(func(worker.Info) error {
			time.AfterFunc(2*time.Second, func() { os.Exit(9) })
			return nil
		}))
	default:
		err = worker.Serve(handler)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
