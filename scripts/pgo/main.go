// Command pgo builds the command cluster with profile-guided optimization (go build -pgo): for the question what that
// gains. The profile is of what the binary is then measured with: workers of a cluster that serve the built-in reference
// application, on each engine, under load. It ends with how to compare the two binaries.
//
//	go run ./scripts/pgo -o bin/cluster-pgo
//
// It must run in the folder of the module. The whole program is compiled anew, which takes minutes.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/prefork/cluster/scripts/internal/servers"
)

// envProfile is that of cmd/cluster/profile.go.
const envProfile = "CLUSTER_DEMO_CPUPROFILE"

func main() {
	log.SetFlags(0)
	out := flag.String("o", filepath.Join("bin", "cluster-pgo"), "the optimized binary; the profile is put beside it, with .pprof")
	length := flag.Duration("duration", 20*time.Second, "length of the load on each engine")
	connections := flag.Int("connections", 32, "keep-alive connections of the load")
	flag.Parse()
	if err := run(*out, *length, *connections); err != nil {
		log.Fatal(err)
	}
}

func run(out string, length time.Duration, connections int) error {
	lab, err := servers.NewLab()
	if err != nil {
		return err
	}
	defer lab.Close()
	profiles := filepath.Join(lab.Dir, "profiles")
	if err := os.Mkdir(profiles, 0o700); err != nil {
		return err
	}
	if err := os.Setenv(envProfile, profiles); err != nil {
		return err
	}
	for _, engine := range []string{"nethttp", "fasthttp"} {
		requests, err := record(lab, engine, length, connections)
		if err != nil {
			return fmt.Errorf("%s: %w", engine, err)
		}
		fmt.Printf("%s: a profile of %d requests in %v\n", engine, requests, length)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	profile := out + ".pprof"
	if err := merge(profiles, profile); err != nil {
		return err
	}
	fmt.Printf("building %s with %s\n", out, profile)
	absolute, err := filepath.Abs(profile) // go build counts from the folder of the main package
	if err != nil {
		return err
	}
	if text, err := exec.Command("go", "build", "-pgo="+absolute, "-o", out, "./cmd/cluster").CombinedOutput(); err != nil {
		return fmt.Errorf("go build -pgo: %w\n%s", err, text)
	}
	fmt.Printf("compare: cluster bench runtime --alt-binary %s\n", out)
	return nil
}

// record loads a cluster with a worker for each two CPUs: the others are for the load. The workers write their profiles
// when they end.
func record(lab *servers.Lab, engine string, length time.Duration, connections int) (requests int64, err error) {
	server, err := lab.Cluster(lab.TCP(), max(1, runtime.NumCPU()/2), 1, nil, "--engine", engine)
	if err != nil {
		return 0, err
	}
	requests, err = load("http://"+lab.Address, length, connections)
	return requests, errors.Join(err, server.Stop())
}

// merge adds the profiles of a folder up.
func merge(dir, out string) error {
	all, err := filepath.Glob(filepath.Join(dir, "*.pprof"))
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("no worker has written a profile")
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	pprof := exec.Command("go", append([]string{"tool", "pprof", "-proto"}, all...)...)
	pprof.Stdout = file
	var text bytes.Buffer
	pprof.Stderr = &text
	if err := errors.Join(pprof.Run(), file.Close()); err != nil {
		return fmt.Errorf("go tool pprof: %w\n%s", err, text.Bytes())
	}
	return nil
}
