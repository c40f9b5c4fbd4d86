package plan

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit codes of the command.
const (
	ExitClean        = 0
	ExitFailure      = 1
	ExitUsage        = 2
	ExitConfig       = 3
	ExitAddressTaken = 4
	ExitNoWorker     = 5
	ExitAborted      = 6
	ExitNotRunning   = 7
	ExitForced       = 8
)

// Exits says for people what each exit code means.
var Exits = []struct {
	Code    int
	Meaning string
}{
	{ExitClean, "done; of start: stopped after all workers were drained"},
	{ExitFailure, "it failed, and says why"},
	{ExitUsage, "the command line or the environment is wrong"},
	{ExitConfig, "the configuration is wrong, or the machine does not allow it"},
	{ExitAddressTaken, "an address, the control socket or the pidfile belongs to another cluster or program"},
	{ExitNoWorker, "no worker became ready"},
	{ExitAborted, "the restart was refused or aborted: the workers are those of before"},
	{ExitNotRunning, "no cluster is running"},
	{ExitForced, "stopped at once: workers were killed"},
}

// ExitStatus is how a process ended.
type ExitStatus struct {
	Code   int
	Signal syscall.Signal // 0: it exited
	core   bool
	OOM    bool // the kernel's memory killer was at work
}

func StatusOf(w unix.WaitStatus) ExitStatus {
	if w.Signaled() {
		return ExitStatus{Code: -1, Signal: w.Signal(), core: w.CoreDump()}
	}
	return ExitStatus{Code: w.ExitStatus()}
}

func (e ExitStatus) String() string {
	if e.Signal == 0 {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	text := fmt.Sprintf("killed by %s (%v)", unix.SignalName(e.Signal), e.Signal)
	if e.core {
		text += ", core dumped"
	}
	return text
}
