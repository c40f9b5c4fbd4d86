package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"
)

// Params are what the templates of a description may ask for.
type Params struct {
	Host             string
	Port             int
	Addr             string // HOST:PORT
	Workers, Threads int
	Dir              string // absolute; for its files
}

// Command is how a peer is started.
type Command struct {
	Argv, Env    []string // the program with its absolute path; what is added to the environment, NAME=VALUE
	Dir          string   // working directory
	Ready        string   // a path that answers 200 once it serves
	Stop         syscall.Signal
	MasterServes bool // the first process serves itself
}

// checkPatience is how long a description's check may take.
const checkPatience = 10 * time.Second

// Installed returns nil if the peer can run here, or an error that says what is missing and the command that installs it.
func (p Peer) Installed() error {
	for _, program := range p.needs {
		if _, err := find(program); err != nil {
			return fmt.Errorf("peer %s: the program %s is not installed; install it with: %s", p.Name, program, p.Install)
		}
	}
	if len(p.check) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkPatience)
	defer cancel()
	if said, err := output(ctx, p.check); err != nil {
		if said == "" {
			said = err.Error()
		}
		return fmt.Errorf("peer %s cannot run here: %s; it is installed with: %s", p.Name, said, p.Install)
	}
	return nil
}

// Version is what the peer says of itself, "unknown" if it says nothing.
func (p Peer) Version(ctx context.Context) string {
	if len(p.version) > 0 {
		if said, err := output(ctx, p.version); err == nil && said != "" {
			return said
		}
	}
	return "unknown"
}

// Command writes the peer's files into params.Dir, which must be there, and returns how it is started. An error is one of
// those files or of a missing program.
func (p Peer) Command(params Params) (Command, error) {
	c := Command{Dir: params.Dir, Ready: p.ready, Stop: p.stop, MasterServes: p.masterServes}
	for name, text := range p.files {
		path := filepath.Join(params.Dir, name)
		content, err := render(text, params)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o755)
		}
		if err == nil {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			return c, fmt.Errorf("peer %s: %w", p.Name, err)
		}
	}
	var err error
	if c.Argv, err = rendered(p.argv, params); err == nil {
		c.Env, err = rendered(p.env, params)
	}
	if err != nil {
		return c, fmt.Errorf("peer %s: %w", p.Name, err)
	}
	if c.Argv[0], err = find(c.Argv[0]); err != nil {
		return c, fmt.Errorf("peer %s: %w; install it with: %s", p.Name, err, p.Install)
	}
	return c, nil
}

func rendered(all []*template.Template, params Params) (texts []string, err error) {
	for _, t := range all {
		s, err := render(t, params)
		if err != nil {
			return nil, err
		}
		texts = append(texts, s)
	}
	return texts, nil
}

func render(t *template.Template, params Params) (string, error) {
	var b strings.Builder
	err := t.Execute(&b, params)
	return b.String(), err
}

// find looks for a program in PATH and where Debian has servers, which is not in everybody's PATH. A path stays.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil {
		return filepath.Abs(path)
	}
	if !strings.Contains(program, "/") {
		for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
			if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
				return path, nil
			}
		}
	}
	return "", err
}

// output is what a command prints, its lines in one.
func output(ctx context.Context, argv []string) (string, error) {
	path, err := find(argv[0])
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, path, argv[1:]...).CombinedOutput()
	return strings.Join(strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' || r == '\r' }), ", "), err
}
