package master

import (
	"bytes"
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
)

// generation is what a worker is made of: immutable, numbered, kept until nobody runs it or may go back to it.
type generation struct {
	number  int
	path    string   // of the program, resolved when the generation was made
	program *ipc.FD  // the open program: going back runs exactly the old file; nil for a script
	args    []string // without argv[0]
	env     []string
	dir     string // resolved when the generation was made
	config  ipc.WorkerConfig
}

// recipe is what generations are resolved from, anew for each: so a deploy may replace the program file or a symlink in
// its path or in the path of the directory.
type recipe struct {
	self   string   // the master's own program, for the reference application
	argv   []string // empty: the reference application
	engine string   // of the reference application
	dir    string
	config ipc.WorkerConfig
	procs  int // GOMAXPROCS of a worker
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
	return &recipe{
		self: strings.TrimSuffix(self, " (deleted)"), argv: c.Program, engine: c.Engine, dir: dir,
		procs: max(1, configs.AvailableCPUs()/c.Workers),
		config: ipc.WorkerConfig{
			Limits: ipc.Limits{
				Threads: c.Threads, QueueDepth: c.QueueDepth, QueueTimeout: c.QueueTimeout, HeadTimeout: c.HeadTimeout,
				IdleTimeout: c.IdleTimeout, WriteTimeout: c.WriteTimeout, DrainTimeout: c.DrainTimeout, DrainIdle: c.DrainIdle,
				OrphanGrace: c.OrphanGrace, BodyTimeout: c.BodyTimeout,
			},
		},
	}, nil
}

// resolve makes a generation of what the names mean now.
func (r *recipe) resolve(number int) (*generation, error) {
	g := &generation{number: number, config: r.config, path: r.self, args: []string{"worker"}}
	var err error
	if g.dir, err = filepath.EvalSymlinks(r.dir); err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	}
	if len(r.argv) > 0 {
		g.args = r.argv[1:]
		if g.path, err = find(r.argv[0], g.dir); err != nil {
			return nil, err
		}
	}
	g.env = ipc.Scrub(os.Environ())
	if len(r.argv) == 0 {
		g.env = append(g.env, ipc.EnvEngine+"="+r.engine)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		g.env = append(g.env, "GOMAXPROCS="+strconv.Itoa(r.procs))
	}
	if g.program, err = openELF(g.path); err != nil {
		return nil, err
	}
	return g, nil
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

// command is the path to execute. The descriptor is named by way of the master, because in the child the descriptors are
// being rearranged when the program is opened.
func (g *generation) command() string {
	if g.program == nil {
		return g.path
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), g.program.Int())
}

func (g *generation) close() {
	if g.program != nil {
		g.program.Close()
	}
}
