package master

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/worker"
)

const (
	envConfig = "CLUSTER_TEST_MASTER" // makes the test binary a master with this configuration, as JSON
	envMade   = "CLUSTER_TEST_MADE"   // a file that the worker makes before anything else
)

// TestMain lets the test binary be a master, and what that runs: its worker.
func TestMain(m *testing.M) {
	if _, seat := os.LookupEnv("CLUSTER_SEAT"); seat {
		os.Exit(beWorker())
	}
	text := os.Getenv(envConfig)
	if text == "" {
		os.Exit(m.Run())
	}
	var c configs.Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	code, err := Run(c, "test", func() (configs.Config, error) { return c, nil })
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
	}
	os.Exit(code)
}

// selfPortrait is what a worker of the test says about itself.
type selfPortrait struct {
	UID, GID    int
	Groups      []int
	Status      string // /proc/self/status
	Dir         string
	Env         []string
	Descriptors []string
}

func beWorker() int {
	if path := os.Getenv(envMade); path != "" {
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	err := worker.Serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p := selfPortrait{UID: os.Getuid(), GID: os.Getgid(), Env: os.Environ()}
		p.Groups, _ = os.Getgroups()
		status, _ := os.ReadFile("/proc/self/status")
		p.Status = string(status)
		p.Dir, _ = os.Readlink("/proc/self/cwd")
		files, _ := os.ReadDir("/proc/self/fd")
		for _, f := range files {
			target, _ := os.Readlink("/proc/self/fd/" + f.Name())
			p.Descriptors = append(p.Descriptors, target)
		}
		_ = json.NewEncoder(w).Encode(p)
	}))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// socketDir is short enough for a unix socket, which those of t.TempDir are not.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
