package ipc

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The environment of a worker. Descriptors are named as sd_listen_fds(3) does: LISTEN_FDS of them from 3 on, their names
// in LISTEN_FDNAMES. LISTEN_PID is not set: a Go program cannot run code between fork and exec, so the pid is not known.
const (
	envFDs        = "LISTEN_FDS"
	envNames      = "LISTEN_FDNAMES"
	envSeat       = "CLUSTER_SEAT"
	envGeneration = "CLUSTER_GENERATION"
	envProtocol   = "CLUSTER_PROTOCOL"
	envWorker     = "CLUSTER_WORKER_CONFIG"

	firstFD        = 3
	nameControl    = "control"
	nameScoreboard = "scoreboard"
	nameKeys       = "keys"
	nameRequests   = "requests"
	nameInbox      = "inbox"
	namePrefixBind = "bind."
	namePrefixPeer = "peer."
	nameProgram    = "program"
)

// ProgramPath is the path of Handover.Program in the process that inherits it, valid for its exec already.
const ProgramPath = "/proc/self/fd/3"

// EnvEngine names the engine of the reference application: nethttp or fasthttp. Only a worker that serves it looks.
const EnvEngine = "CLUSTER_ENGINE"

// FrontSeat is the Seat of a front in its Handover, and what it says of itself in packets: no worker ever has it.
const FrontSeat = 1<<16 - 1

// Handover is what a worker inherits, or a front. The master fills one in to spawn, the worker gets it back from Inherit.
type Handover struct {
	Seat       int // 2×slot or 2×slot+1
	Generation int
	Protocol   Protocol // what the master speaks
	Config     WorkerConfig
	Control    *FD
	Scoreboard *FD
	Keys       *FD         // sealed, see the package keys; nil if no bind speaks TLS
	Requests   *FD         // where the access log goes; nil if there is none
	Binds      []*FD       // by index of the bind
	Inbox      *FD         // of the seat; nil if connections are not passed between workers
	Peers      map[int]*FD // by seat: the send ends of the inboxes of other seats
	Program    *FD         // the open program, to run it from ProgramPath; nil if it is run otherwise. Inherit closes it.
}

// SlotSocket is the path of the unix socket of a slot in the folder where a front that copies requests finds the workers.
func SlotSocket(folder string, slot int) string { return filepath.Join(folder, strconv.Itoa(slot)) }

// Slot is the slot of the seat.
func (h *Handover) Slot() int { return h.Seat / 2 }

// Encode returns what the worker finds from descriptor 3 on, and the variables that say so.
func (h *Handover) Encode() (files []uintptr, env []string, err error) {
	config, err := json.Marshal(h.Config)
	if err != nil {
		return nil, nil, fmt.Errorf("worker configuration: %w", err)
	}
	var names []string
	if h.Program != nil { // the first, so that its number does not depend on what else there is
		names, files = append(names, nameProgram), append(files, uintptr(h.Program.Int()))
	}
	names = append(names, nameControl, nameScoreboard)
	files = append(files, uintptr(h.Control.Int()), uintptr(h.Scoreboard.Int()))
	if h.Keys != nil {
		names, files = append(names, nameKeys), append(files, uintptr(h.Keys.Int()))
	}
	if h.Requests != nil {
		names, files = append(names, nameRequests), append(files, uintptr(h.Requests.Int()))
	}
	if h.Inbox != nil {
		names, files = append(names, nameInbox), append(files, uintptr(h.Inbox.Int()))
	}
	for _, seat := range slices.Sorted(maps.Keys(h.Peers)) {
		names, files = append(names, namePrefixPeer+strconv.Itoa(seat)), append(files, uintptr(h.Peers[seat].Int()))
	}
	for i, fd := range h.Binds {
		names = append(names, namePrefixBind+strconv.Itoa(i))
		files = append(files, uintptr(fd.Int()))
	}
	return files, []string{
		envFDs + "=" + strconv.Itoa(len(files)),
		envNames + "=" + strings.Join(names, ":"),
		envSeat + "=" + strconv.Itoa(h.Seat),
		envGeneration + "=" + strconv.Itoa(h.Generation),
		envProtocol + "=" + h.Protocol.String(),
		envWorker + "=" + string(config),
	}, nil
}

// Scrub returns env without the variables that Encode and the master set and without those of a service manager that were meant for
// the caller, so that a worker sees only its own.
func Scrub(env []string) []string {
	kept := make([]string, 0, len(env))
	for _, v := range env {
		switch name, _, _ := strings.Cut(v, "="); name {
		case envFDs, envNames, "LISTEN_PID", envSeat, envGeneration, envProtocol, envWorker, EnvEngine, "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID":
		default:
			kept = append(kept, v)
		}
	}
	return kept
}

// Inherit reads what a master has handed over, marks the descriptors close-on-exec and removes the variables, so that
// no child of the worker sees either. ok is false in a program that was started by hand.
func Inherit() (h *Handover, ok bool, err error) {
	seat, ok := os.LookupEnv(envSeat)
	if !ok {
		return nil, false, nil
	}
	h = &Handover{}
	fail := func(name, value string, err error) (*Handover, bool, error) {
		return nil, true, fmt.Errorf("inherited variable %s=%q: %w", name, value, err)
	}
	if h.Seat, err = strconv.Atoi(seat); err != nil {
		return fail(envSeat, seat, err)
	}
	if h.Seat < 0 {
		return fail(envSeat, seat, fmt.Errorf("a seat is not negative"))
	}
	if v := os.Getenv(envGeneration); v != "" {
		if h.Generation, err = strconv.Atoi(v); err != nil {
			return fail(envGeneration, v, err)
		}
	}
	if v := os.Getenv(envProtocol); v != "" {
		if _, err = fmt.Sscanf(v, "%d..%d", &h.Protocol.Min, &h.Protocol.Max); err != nil {
			return fail(envProtocol, v, err)
		}
	}
	if v := os.Getenv(envWorker); v != "" {
		if err = json.Unmarshal([]byte(v), &h.Config); err != nil {
			return fail(envWorker, v, err)
		}
	}
	count, err := strconv.Atoi(os.Getenv(envFDs))
	if err != nil {
		return fail(envFDs, os.Getenv(envFDs), err)
	}
	names := strings.Split(os.Getenv(envNames), ":")
	if len(names) != count {
		return fail(envNames, os.Getenv(envNames), fmt.Errorf("%d names for %d descriptors", len(names), count))
	}
	for i, name := range names {
		if err := h.take(name, firstFD+i); err != nil {
			return fail(envNames, os.Getenv(envNames), err)
		}
	}
	if h.Control == nil || h.Scoreboard == nil {
		return fail(envNames, os.Getenv(envNames), fmt.Errorf("no %s or no %s", nameControl, nameScoreboard))
	}
	for _, name := range []string{envFDs, envNames, envSeat, envGeneration, envProtocol, envWorker} {
		os.Unsetenv(name)
	}
	return h, true, nil
}

func (h *Handover) take(name string, fd int) error {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return fmt.Errorf("descriptor %d (%s) is not open: %w", fd, name, err)
	}
	switch {
	case name == nameControl:
		h.Control = Own(fd)
	case name == nameScoreboard:
		h.Scoreboard = Own(fd)
	case name == nameKeys:
		h.Keys = Own(fd)
	case name == nameRequests:
		h.Requests = Own(fd)
	case name == nameInbox:
		h.Inbox = Own(fd)
	case strings.HasPrefix(name, namePrefixPeer):
		seat, err := strconv.Atoi(name[len(namePrefixPeer):])
		if err != nil || seat < 0 {
			return fmt.Errorf("%s names no seat", name)
		}
		if h.Peers == nil {
			h.Peers = map[int]*FD{}
		}
		h.Peers[seat] = Own(fd)
	case strings.HasPrefix(name, namePrefixBind):
		if name != namePrefixBind+strconv.Itoa(len(h.Binds)) {
			return fmt.Errorf("%s where %s%d was due", name, namePrefixBind, len(h.Binds))
		}
		h.Binds = append(h.Binds, Own(fd))
	default:
		// The program has done its duty. A newer master may hand over more than this build knows; what nobody takes is closed.
		unix.Close(fd)
	}
	return nil
}
