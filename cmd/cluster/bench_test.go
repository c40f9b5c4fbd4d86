package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/target"
)

// benchIn runs the command in an empty folder, with nothing in its PATH: it needs only its own binary.
func benchIn(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	command, err := exec.LookPath("cluster") // the copy of the test binary that testscript has made: by its name it knows what it is
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(command, append([]string{"bench"}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{envRace + "=" + noRaceSleep, "PATH=" + dir, "TMPDIR=" + shortDir(t)}
	return cmd
}

func results(t *testing.T, dir string) (record.Run, []record.Trial) {
	t.Helper()
	run, trials, err := readResults(filepath.Join(dir, rawFile))
	if err != nil {
		t.Fatal(err)
	}
	return run, trials
}

// What the record says was answered must be what the servers say that they answered.
func TestBenchAgreesWithTheServers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := benchIn(t, dir, "variance", "--workers", "2", "--rounds", "2", "--duration", "300ms", "--connections", "8", "--out", "out")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout.Bytes(), stderr.Bytes())
	}
	run, trials := results(t, filepath.Join(dir, "out"))
	if len(trials) != 2*3 {
		t.Errorf("%d trials, not two rounds of two cells and one of them again", len(trials))
	}
	if run.Kernel == "" || run.CPUs == 0 || run.Go == "" || run.Seed == 0 || run.Sysctls["net.core.somaxconn"] == "" {
		t.Errorf("the machine is described as %+v", run)
	}
	for _, trial := range trials {
		r := trial.Result
		if trial.Failed != "" || r == nil || r.Answered == 0 {
			t.Fatalf("%s, round %d: %s (%+v)", trial.Cell, trial.Round, trial.Failed, r)
		}
		var begun, counted int64
		for _, n := range r.Total {
			begun += n
		}
		for _, n := range trial.Final.Requests {
			counted += n
		}
		answered := r.Total["ok"] + r.Total["4xx"] + r.Total["5xx"]
		if begun < counted || counted < answered || answered < r.Answered {
			t.Errorf("%s, round %d: %d requests begun ≥ %d counted by the servers ≥ %d answered ≥ %d of them in the window does not hold (%v)",
				trial.Cell, trial.Round, begun, counted, answered, r.Answered, r.Total)
		}
		if trial.Serving() <= 0 || trial.Loaded.Serving.PSS <= 0 || trial.Loaded.Serving.Processes != 2 || trial.Loaded.Master.PSS <= 0 {
			t.Errorf("%s, round %d: CPU %v, memory %+v", trial.Cell, trial.Round, trial.Serving(), trial.Loaded)
		}
		if trial.Target.Kind != target.Cluster || !slices.Contains(trial.Argv, "start") {
			t.Errorf("it was started as %v", trial.Argv)
		}
	}
	for _, name := range []string{markdownFile, htmlFile, benchstatFile} {
		if text, err := os.ReadFile(filepath.Join(dir, "out", name)); err != nil || len(text) < 500 {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
	if out, err := exec.Command("gzip", "--keep", filepath.Join(dir, "out", rawFile)).CombinedOutput(); err != nil {
		t.Fatalf("gzip: %v\n%s", err, out)
	}
	again := exec.Command(cmd.Path, "bench", "report", filepath.Join("out", rawFile+".gz"))
	again.Dir, again.Env = dir, cmd.Env
	if out, err := again.CombinedOutput(); err != nil || string(out) != stdout.String() {
		t.Errorf("a report that is made anew differs: %v\n%s\nfirst it was\n%s", err, out, stdout.Bytes())
	}
	compare := exec.Command(cmd.Path, "bench", "compare", filepath.Join("out", rawFile), filepath.Join("out", rawFile))
	compare.Dir, compare.Env = dir, cmd.Env
	if out, err := compare.CombinedOutput(); err != nil || !strings.Contains(string(out), "/plaintext") {
		t.Errorf("compared with itself: %v\n%s", err, out)
	}
}

// Ctrl-C ends the trial and reports what there is; nothing is left.
func TestBenchStopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := benchIn(t, dir, "variance", "--workers", "1", "--rounds", "100", "--duration", "100ms", "--connections", "2", "--out", "out")
	mark := envMark + "=" + strconv.FormatInt(time.Now().UnixNano(), 36)
	cmd.Env = append(cmd.Env, mark)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	raw := filepath.Join(dir, "out", rawFile)
	for deadline := time.Now().Add(startPatience); ; time.Sleep(10 * time.Millisecond) {
		if text, _ := os.ReadFile(raw); bytes.Count(text, []byte("\n")) > 3 {
			break
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			t.Fatalf("no trials within %v\n%s", startPatience, stderr.Bytes())
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(stderr.String(), "stopped before the end") {
		t.Errorf("it ended with %v, and said\n%s", err, stderr.Bytes())
	}
	if !strings.Contains(stdout.String(), "prefork 1×3") {
		t.Errorf("the report is\n%s", stdout.Bytes())
	}
	if left := marked(mark); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

func TestFlagsFirst(t *testing.T) {
	for _, x := range []struct{ given, want string }{
		{"cluster start ./app -x", "cluster start ./app -x"},
		{"cluster bench", "cluster bench --"},
		{"cluster bench tail --quick io", "cluster bench --quick -- tail io"},
		{"cluster bench tail --rounds 6 -w 2", "cluster bench --rounds 6 -w 2 -- tail"},
		{"cluster bench tail --rounds=6 io", "cluster bench --rounds=6 -- tail io"},
		{"cluster bench --path / -- ./app --quick", "cluster bench --path / -- -- ./app --quick"},
		{"cluster bench report a --html b", "cluster bench report --html b -- a"},
		{"cluster bench compare a b", "cluster bench compare -- a b"},
	} {
		if got := strings.Join(flagsFirst(strings.Fields(x.given)), " "); got != x.want {
			t.Errorf("%s: %s, not %s", x.given, got, x.want)
		}
	}
}
