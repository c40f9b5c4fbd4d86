package master

import (
	"log/slog"
	"os"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/keyring"
	"github.com/prefork/cluster/master/plan"
)

// event is anything that can reach the loop.
type event interface{ isEvent() }

type (
	// exitEvent: a child was reaped. cpu is its user and system time.
	exitEvent struct {
		pid    int
		status plan.ExitStatus
		cpu    time.Duration
	}
	// messageEvent: a worker spoke. The descriptor is the loop's to close.
	messageEvent struct {
		id  plan.SeatID
		msg ipc.Message
		fd  *ipc.FD
	}
	// garbledEvent: a worker sent what cannot be understood.
	garbledEvent struct {
		id  plan.SeatID
		err error
	}
	// frontEvent: the front is ready.
	frontEvent  struct{ pid int }
	signalEvent struct{ signal os.Signal }
	// keysEvent: certificates were read anew, or could not be.
	keysEvent struct{ keyring.Update }

	// Requests of the control socket. Each reply channel has a capacity of 1.
	restartRequest struct {
		slot  *int // nil: all
		reply chan restartReply
	}
	scaleRequest struct {
		by    int // relative, unless to is set
		to    int
		why   string // the load decides; empty: somebody has asked
		reply chan scaleReply
	}
	threadsRequest struct {
		to    int
		reply chan error
	}
	levelRequest struct {
		level slog.Level
		reply chan slog.Level
	}
	profileRequest struct {
		slot   int
		kind   string
		length time.Duration
		reply  chan profileReply
	}
	stopRequest struct {
		now   bool
		reply chan api.Stopping
	}
	stacksRequest struct{ reply chan []api.StackDump }
	reopenRequest struct{ reply chan error }
	reloadRequest struct{ reply chan *api.Reload }

	// loadedEvent: the configuration was read anew, or is wrong.
	loadedEvent struct {
		config configs.Config
		token  string // of the metrics address
		err    error
	}
)

func (exitEvent) isEvent()      {}
func (messageEvent) isEvent()   {}
func (garbledEvent) isEvent()   {}
func (frontEvent) isEvent()     {}
func (signalEvent) isEvent()    {}
func (keysEvent) isEvent()      {}
func (restartRequest) isEvent() {}
func (scaleRequest) isEvent()   {}
func (stopRequest) isEvent()    {}
func (threadsRequest) isEvent() {}
func (levelRequest) isEvent()   {}
func (profileRequest) isEvent() {}
func (stacksRequest) isEvent()  {}
func (reopenRequest) isEvent()  {}
func (reloadRequest) isEvent()  {}
func (loadedEvent) isEvent()    {}

type restartReply struct {
	generation int
	renewal    int // its number, if only one worker is replaced
	err        error
}

type scaleReply struct {
	workers int
	err     error
}

type profileReply struct {
	data []byte
	err  error
}
