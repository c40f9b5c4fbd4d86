package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/prefork/cluster/cmd/cluster/rolling"
	"github.com/prefork/cluster/master/api"
)

// Ctrl-C ends the command and says that the restart goes on; a cluster that stops is said to.
func TestFollowRestartEnds(t *testing.T) {
	reports, master := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- followRestart(rolling.NewLine(io.Discard), reports) }()
	if err := json.NewEncoder(master).Encode(api.RestartProgress{Workers: 2}); err != nil {
		t.Fatal(err)
	}
	// It reads when it listens for signals already.
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var coded *exitError
	if err := <-ended; !errors.As(err, &coded) || coded.code != 130 || !strings.Contains(err.Error(), "the restart goes on: `cluster status` shows") {
		t.Errorf("after Ctrl-C: %v", err)
	}
	master.Close()
	if err := followRestart(rolling.NewLine(io.Discard), strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "the cluster stopped before the restart was over") {
		t.Errorf("after the end of the cluster: %v", err)
	}
}
