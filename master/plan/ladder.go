package plan

import "time"

// rung is one step of an escalation: what is done to a worker that is still there so long after the first rung.
type rung struct {
	after time.Duration
	do    Measure
}

type Measure int

const (
	AskToDrain   Measure = iota // the drain message, or SIGTERM if it cannot be delivered
	AskForStacks                // SIGQUIT: a Go program writes its goroutine stacks to its log and exits
	Kill                        // SIGKILL to the process group
)

// drainLadder gives a worker the drain timeout, shows where it hangs, and kills it. The worker itself leaves when its
// drain timeout ends, so the second rung is one second later.
func drainLadder(timeout time.Duration) []rung {
	return []rung{{0, AskToDrain}, {timeout + time.Second, AskForStacks}, {timeout + 3*time.Second, Kill}}
}

// killLadder is for a worker that hangs: its stacks, then the end.
func killLadder() []rung { return []rung{{0, AskForStacks}, {time.Second, Kill}} }

// forceLadder is for a stop that was asked for twice.
func forceLadder() []rung { return []rung{{0, Kill}} }
