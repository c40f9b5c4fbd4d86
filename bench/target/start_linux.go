package target

import (
	"os/exec"
	"runtime"
	"syscall"
)

// start starts a command in a process group of its own and closes ended when it has been waited for. If this process dies,
// the kernel sends it SIGTERM, on which it stops its children itself. The kernel means the thread that started it
// (PR_SET_PDEATHSIG of prctl(2)), so one is kept for as long as the command runs.
func start(cmd *exec.Cmd, ended chan<- struct{}) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // ProcessState has it
			close(ended)
		}
	}()
	return <-started
}
