package process

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mayChangeUser checks what it takes to start a process as another user, and to send signals to it.
func mayChangeUser() error {
	var sets [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &sets[0]); err != nil {
		return fmt.Errorf("capabilities of this process: %w", err)
	}
	for _, needed := range []int{unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_KILL} {
		if sets[needed/32].Effective&(1<<(needed%32)) == 0 {
			if os.Geteuid() == 0 {
				return errors.New("root lacks one of the capabilities CAP_SETUID, CAP_SETGID and CAP_KILL here (capsh --print; docker run --cap-add, CapabilityBoundingSet= of the unit)")
			}
			return fmt.Errorf("only root may choose their user, and this is uid %d: start it as root (or with CAP_SETUID, CAP_SETGID and CAP_KILL), or as the wanted user and without --user and --group", os.Geteuid())
		}
	}
	return nil
}

// changingUser prepares the calling thread for a fork to another user; what it returns is called after the exec.
//
// A master that is not root may have its capabilities as ambient ones, which go through setuid and exec: a worker would
// have got the right to become any other user. From root to another user the kernel takes them away itself.
//
// The child shares the memory of the master until its exec, and its setuid marks that memory as not to be dumped, which
// protects it from the user meanwhile. It would stay so, and the master would never leave a core file.
func changingUser() (done func()) {
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	return func() {
		if err == nil && dumpable == 1 {
			_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
		}
	}
}
