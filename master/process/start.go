package process

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

// Command is a process to start.
type Command struct {
	Path  string    // to execute
	Name  string    // of the program, for messages
	Argv  []string  // with argv[0]
	Env   []string  // all of it
	Dir   string    // without symbolic links
	Files []uintptr // what it finds from descriptor 0 on
	As    Identity
	Umask int // -1: that of this process
}

// Start forks and executes, in a process group of its own. The error of what the kernel refused says to whom and why.
//
// It must not run while another goroutine makes files: Go cannot run code between fork and exec, and the umask belongs to
// the whole process, so it is the worker's for the moment. The worker could set it itself, when it joins the cluster, but
// that is after the files that main opens first; a thread with a umask of its own needs unshare(2), which containers forbid.
func Start(c *Command) (pid int, err error) {
	if c.Umask >= 0 {
		defer syscall.Umask(syscall.Umask(c.Umask))
	}
	if c.As.credential != nil {
		runtime.LockOSThread() // capabilities belong to the thread that forks
		defer runtime.UnlockOSThread()
		defer changingUser()()
	}
	pid, err = syscall.ForkExec(c.Path, c.Argv, &syscall.ProcAttr{
		Dir: c.Dir, Env: c.Env, Files: c.Files,
		Sys: &syscall.SysProcAttr{Setpgid: true, Credential: c.As.credential},
	})
	if err != nil {
		return 0, fmt.Errorf("cannot run %s: %w", c.Name, c.explain(err))
	}
	return pid, nil
}

// explain adds what a person can do. Which of its steps the kernel refused, changing the user, entering the directory or
// executing the file, it does not say.
func (c *Command) explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("%w (neither a binary for this machine nor a script that begins with #!)", err)
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("%w (if the file is there, the interpreter in its first line or the loader it was linked for is not)", err)
	case errors.Is(err, syscall.EAGAIN):
		return fmt.Errorf("%w (the limit of processes is reached: ulimit -u, or pids.max of the cgroup)", err)
	case errors.Is(err, syscall.EPERM) && c.As.credential != nil, errors.Is(err, syscall.EINVAL) && c.As.credential != nil:
		return fmt.Errorf("%w (the kernel does not let this process become %v: in a container, uid and gid must exist in it (/proc/self/uid_map), and it must allow setgroups)", err, c.As)
	case errors.Is(err, syscall.EACCES):
		where := c.As.obstacle(c.Dir, true)
		if where == "" {
			where = c.As.obstacle(c.Name, c.Path == c.Name) // else it is open already
		}
		if where == "" {
			return fmt.Errorf("%w (%v may not run it, or may not enter the working directory %s; is a file system mounted noexec?)", err, c.As, c.Dir)
		}
		return fmt.Errorf("%w: %v may not enter or execute %s: give it that right (chmod, chown), or choose another place", err, c.As, where)
	}
	return err
}
