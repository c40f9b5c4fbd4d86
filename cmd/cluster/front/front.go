// Package front is the process that stands before the workers with --dispatch passed and copied. It owns nothing that outlives
// it: the master holds the listeners, the inboxes and the sockets of the slots, and starts it anew when it dies.
//
// Both ways are for measuring only: what they cost is what they are there for (docs/dispatch.md).
package front

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
)

// Verb is how the master runs its own program as a front: Verb, the dispatch, and for copied the folder of the workers' sockets.
// It is in no help text.
const Verb = "front"

// server is one way to bring to the workers what comes to the listeners.
type server interface {
	// meet takes over the send end of the inbox of a seat.
	meet(seat int, inbox *ipc.FD)
	// serve begins to accept.
	serve() error
	// drain takes what waits in the listeners, finishes what it has begun, and returns; at the latest when over is done.
	drain(over context.Context)
}

// Run serves until SIGTERM, or until the master has died: nobody would start another front then. It returns an exit code.
func Run(args []string) int {
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "cluster front:", err)
		return 1
	}
	return 0
}

func run(args []string) error {
	signal.Ignore(syscall.SIGPIPE) // standard error is a pipe to the master, which may die first
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	h, ok, err := ipc.Inherit()
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("this verb is the master's: start a cluster with --dispatch passed or copied")
	}
	_ = os.WriteFile("/proc/self/comm", []byte("cluster-front"), 0)
	control, err := ipc.OpenChannel(h.Control)
	if err != nil {
		return err
	}
	board, err := scoreboard.Attach(h.Scoreboard.Int())
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("pid", os.Getpid())
	var s server
	switch {
	case len(args) == 1 && args[0] == "passed":
		s = newPasser(h, board, log)
	case len(args) == 2 && args[0] == "copied":
		s = newCopier(h, board, args[1], log)
	default:
		return fmt.Errorf("no way to serve: %q", args)
	}
	for seat, inbox := range h.Peers {
		s.meet(seat, inbox)
	}
	if err := s.serve(); err != nil {
		return err
	}
	orphaned := make(chan struct{})
	go func() {
		defer close(orphaned)
		obey(control, s)
	}()
	if err := control.Send(ipc.Message{Type: ipc.Ready}, -1); err != nil {
		return err
	}
	select {
	case <-terminate:
	case <-orphaned:
		log.Warn("the master is gone: the front leaves")
	}
	over, cancel := context.WithTimeout(context.Background(), h.Config.DrainTimeout)
	defer cancel()
	s.drain(over)
	return nil
}

// obey takes what the master has to say until the control channel ends, which is the death of the master.
func obey(control *ipc.Channel, s server) {
	for {
		msg, fd, err := control.Receive()
		var malformed *ipc.MalformedError
		switch {
		case errors.As(err, &malformed):
			continue
		case err != nil:
			if !errors.Is(err, io.EOF) {
				fmt.Fprintln(os.Stderr, "cluster front:", err)
			}
			return
		case msg.Type == ipc.Peer && fd != nil:
			s.meet(msg.Seat, fd)
		case fd != nil:
			fd.Close()
		}
	}
}
