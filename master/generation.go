package master

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/master/plan"
	"github.com/prefork/cluster/master/process"
)

// generation is what a worker is made of: immutable, numbered, kept until nobody runs it or may go back to it.
type generation struct {
	number  int
	path    string   // of the program, resolved when the generation was made
	program *ipc.FD  // the open program: going back runs exactly the old file; nil for a script
	args    []string // without argv[0]
	env     []string
	dir     string // resolved when the generation was made
	as      process.Identity
	umask   int // -1: the master's
	config  ipc.WorkerConfig
}

// recipe is what generations are resolved from, anew for each: so a deploy may replace the program file or a symlink in
// its path or in the path of the directory, and a user may have got another group.
type recipe struct {
	self   string   // the master's own program, for the reference application
	argv   []string // empty: the reference application
	engine string   // of the reference application
	dir    string
	user   string
	group  string
	umask  int // -1: the master's
	config ipc.WorkerConfig
	procs  string // GOMAXPROCS of a worker
}

func newRecipe(c configs.Config) (*recipe, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find this program's file: %w", err)
	}
	dir, err := os.Getwd() // prefers $PWD, which keeps a symlink to the current release
	if err != nil {
		return nil, fmt.Errorf("cannot find the working directory: %w", err)
	}
	if filepath.IsAbs(c.Chdir) {
		dir = c.Chdir
	} else if c.Chdir != "" {
		dir += "/" + c.Chdir // not cleaned: what .. means depends on the symlinks before it
	}
	umask := -1
	if c.Umask != "" {
		mask, err := strconv.ParseUint(c.Umask, 8, 32)
		if err != nil || mask > 0o777 {
			return nil, &StartError{plan.ExitUsage, fmt.Errorf("--umask %q is no umask: give octal digits, 0 to 777", c.Umask)}
		}
		umask = int(mask)
	}
	return &recipe{
		self: strings.TrimSuffix(self, " (deleted)"), argv: c.Program, engine: c.Engine, dir: dir, user: c.User, group: c.Group, umask: umask,
		procs:  procs(c, os.Getenv("GOMAXPROCS")),
		config: workerConfig(c),
	}, nil
}

// procs is GOMAXPROCS of a worker: 1 with --gvl, else as given, else its part of the CPUs.
func procs(c configs.Config, given string) string {
	if c.GVL {
		return "1"
	}
	return cmp.Or(given, strconv.Itoa(max(1, configs.AvailableCPUs()/c.MostProcesses())))
}

// workerConfig is what workers must know, but for the limits.
func workerConfig(c configs.Config) ipc.WorkerConfig {
	w := ipc.WorkerConfig{Pool: c.Pool, OSThreads: c.OSThreads, BusyPoll: c.BusyPoll, Batch: c.Batch, Handoff: c.Handoff(), Passed: c.Passed(), MaxHead: int(c.MaxHead), Metrics: c.Metrics != "off"}
	if c.LogRequests {
		w.LogRequests = c.LogFormat
	}
	if c.Copied() {
		return w // its one listener is the slot's socket
	}
	for _, b := range c.Binds {
		w.Binds = append(w.Binds, ipc.Bind{Name: b.String(), TLS: b.Scheme == "tls", Proxy: b.Proxy})
	}
	return w
}

// limitsOf are those settings of the workers that change while they run.
func limitsOf(c configs.Config) ipc.Limits {
	return ipc.Limits{
		Threads: c.Threads, QueueDepth: c.QueueDepth, QueueTimeout: c.QueueTimeout,
		HeadTimeout: c.HeadTimeout, BodyTimeout: c.BodyTimeout, IdleTimeout: c.IdleTimeout, WriteTimeout: c.WriteTimeout,
		Memory:       c.WorkerMemory(c.Processes()),
		DrainTimeout: c.DrainTimeout, DrainIdle: c.DrainIdle, OrphanGrace: c.OrphanGrace, RequestTimeout: c.RequestTimeout,
		MaxConnections: c.MaxConnections, MaxRequests: c.MaxRequestsPerConnection,
		MaxBody: c.MaxBody, BufferBody: int(c.BufferBody), BufferResponse: int(c.BufferResponse),
	}
}

// resolve makes a generation of what the names mean now.
func (r *recipe) resolve(number int) (*generation, error) {
	g := &generation{number: number, config: r.config, path: r.self, args: []string{"worker"}, umask: r.umask}
	var err error
	if g.as, err = process.Identify(r.user, r.group); err != nil {
		return nil, &StartError{plan.ExitConfig, err}
	}
	if g.dir, err = findDir(r.dir); err != nil {
		return nil, &StartError{plan.ExitConfig, err}
	}
	if len(r.argv) > 0 {
		g.args = r.argv[1:]
		if g.path, err = find(r.argv[0], g.dir); err != nil {
			return nil, err
		}
	}
	set := append([]string{"PWD=" + g.dir, "GOMAXPROCS=" + r.procs}, g.as.Env()...)
	if len(r.argv) == 0 {
		set = append(set, ipc.EnvEngine+"="+r.engine)
	}
	g.env = process.Environment(os.Environ(), configs.OwnVariables(), set...)
	if g.program, err = openELF(g.path); err != nil {
		return nil, err
	}
	return g, nil
}

// findDir resolves the symlinks of the working directory. Whether the user of the workers may enter it shows when one does.
func findDir(path string) (string, error) {
	dir, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("the working directory %s does not exist: make it, or give another --chdir", path)
	}
	if err != nil {
		return "", fmt.Errorf("working directory %s: %w", path, err)
	}
	st, err := os.Stat(dir)
	if err != nil {
		return "", fmt.Errorf("working directory: %w", err)
	}
	if !st.IsDir() {
		return "", fmt.Errorf("the working directory %s is no directory: give another --chdir", path)
	}
	return dir, nil
}

// find resolves a program as a shell in dir would.
func find(name, dir string) (string, error) {
	path := name
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
	} else {
		found, err := exec.LookPath(name)
		if err != nil && !errors.Is(err, exec.ErrDot) {
			return "", fmt.Errorf("program %q was not found in PATH (write ./%s for one in this directory)", name, name)
		}
		path = found
	}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("program %q does not exist", path)
	case err != nil:
		return "", fmt.Errorf("program %q: %w", name, err)
	case st.IsDir():
		return "", fmt.Errorf("program %q is a directory", name)
	case unix.Access(path, unix.X_OK) != nil:
		return "", fmt.Errorf("program %q is not executable (chmod +x %s)", name, path)
	}
	return path, nil
}

// openELF keeps a binary open to run it through its descriptor later. A script cannot be run that way (its interpreter
// would open the descriptor after it was closed on exec), so it is run by path: then it is nil.
func openELF(path string) (*ipc.FD, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrPermission) {
		return nil, nil // executable but not readable: by path as well
	}
	if err != nil {
		return nil, fmt.Errorf("program: %w", err)
	}
	defer f.Close()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(f, magic); err != nil || !bytes.Equal(magic, []byte("\x7fELF")) {
		return nil, nil
	}
	return ipc.Duplicate(int(f.Fd()))
}

func (g *generation) close() {
	if g.program != nil {
		g.program.Close()
	}
}
