package reference

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
)

// EnvProfile names a folder where each process that serves the reference application, a worker or a bare server, leaves a
// CPU profile of its life, PID.pprof, when it ends in order: for scripts/pgo, and for looking where time goes.
const EnvProfile = "CLUSTER_DEMO_CPUPROFILE"

// profiled runs serve, under a profile if one is wanted.
func profiled(serve func() error) (err error) {
	dir := os.Getenv(EnvProfile)
	if dir == "" {
		return serve()
	}
	file, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d.pprof", os.Getpid())))
	if err != nil {
		return fmt.Errorf("%s: %w", EnvProfile, err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return errors.Join(fmt.Errorf("CPU profile: %w", err), file.Close())
	}
	defer func() {
		pprof.StopCPUProfile()
		err = errors.Join(err, file.Close())
	}()
	return serve()
}
