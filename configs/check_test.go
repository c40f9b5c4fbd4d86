package configs

import (
	"strings"
	"testing"
	"time"
)

func TestDefaultIsRight(t *testing.T) {
	c := Default()
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	if c.Cells() != 32 {
		t.Errorf("%d cells", c.Cells())
	}
}

func TestProcesses(t *testing.T) {
	for mode, want := range map[string]int{"prefork": 5, "inprocess": 1} {
		c := Config{Mode: mode, Workers: 5}
		if got := c.Processes(); got != want || c.InProcess() != (want == 1) {
			t.Errorf("mode %s: %d processes, want %d", mode, got, want)
		}
	}
}

func TestInboxes(t *testing.T) {
	for _, test := range []struct {
		mode, dispatch string
		want           bool
	}{{"prefork", "handoff", true}, {"prefork", "reuseport", false}, {"prefork", "shared", false}, {"prefork", "passed", true}, {"prefork", "copied", false}, {"inprocess", "handoff", false}} {
		c := Config{Mode: test.mode, Dispatch: test.dispatch}
		if got := c.Inboxes(); got != test.want {
			t.Errorf("mode %s, dispatch %s: inboxes %v", test.mode, test.dispatch, got)
		}
	}
}

func TestCells(t *testing.T) {
	for _, test := range []struct{ threads, most, want int }{{3, 0, 32}, {32, 0, 32}, {100, 0, 100}, {3, 8, 8}} {
		c := Config{Threads: test.threads, MaxThreads: test.most}
		if got := c.Cells(); got != test.want {
			t.Errorf("%d threads, at most %d: %d cells, want %d", test.threads, test.most, got, test.want)
		}
	}
}

func TestCheck(t *testing.T) {
	bind := func(text string) Bind {
		b, err := ParseBind(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   string // empty: nothing is wrong
	}{
		{"no workers", func(c *Config) { c.Workers = 0 }, "--workers 0 is out of range: give 1 to 64"},
		{"negative workers", func(c *Config) { c.Workers = -1 }, "--workers -1 is out of range: give 1 to 64"},
		{"too many workers", func(c *Config) { c.Workers = 65 }, "--workers 65 is more than --max-workers 64: give 1 to 64, or raise --max-workers (at most 1024)"},
		{"as many as there may be", func(c *Config) { c.Workers, c.MaxWorkers = 1024, 1024 }, ""},
		{"more", func(c *Config) { c.Workers, c.MaxWorkers = 1025, 1024 }, "--workers 1025 is more than --max-workers 1024"},
		{"too large a maximum", func(c *Config) { c.MaxWorkers = 1025 }, "--max-workers 1025 is out of range: give 1 to 1024"},
		{"no maximum", func(c *Config) { c.Workers, c.MaxWorkers = 1, 0 }, "--max-workers 0 is out of range: give 1 to 1024"},
		{"no threads", func(c *Config) { c.Threads = 0 }, "--threads 0 is out of range: give 1 to 1024"},
		{"too many threads", func(c *Config) { c.Threads = 1025 }, "--threads 1025 is out of range"},
		{"no surge", func(c *Config) { c.Surge = 0 }, "--surge 0 is out of range"},
		{"no queue", func(c *Config) { c.QueueDepth = 0 }, ""},
		{"negative queue", func(c *Config) { c.QueueDepth = -1 }, "--queue-depth -1 is out of range: give 0 to 1048576"},

		{"no queue timeout", func(c *Config) { c.QueueTimeout = 0 }, "--queue-timeout 0s is too short: give at least 1ms"},
		{"no head timeout", func(c *Config) { c.HeadTimeout = 0 }, "--head-timeout 0s is too short: give at least 1s"},
		{"no idle timeout", func(c *Config) { c.IdleTimeout = 0 }, "--idle-timeout 0s is too short"},
		{"no write timeout", func(c *Config) { c.WriteTimeout = 0 }, "--write-timeout 0s is too short"},
		{"no boot timeout", func(c *Config) { c.BootTimeout = 0 }, "--boot-timeout 0s is too short: give at least 100ms"},
		{"short heartbeat timeout", func(c *Config) { c.HeartbeatTimeout = 2 * time.Second }, "--heartbeat-timeout 2s is too short: give at least 3s"},
		{"drain at once", func(c *Config) { c.DrainTimeout, c.DrainIdle, c.OrphanGrace, c.Settle, c.Probation = 0, 0, 0, 0, 0 }, ""},
		{"negative grace", func(c *Config) { c.OrphanGrace = -time.Second }, "--orphan-grace -1s is too short: give at least 0s"},
		{"negative settle", func(c *Config) { c.Settle = -1 }, "--settle -1ns is too short"},
		{"for ever", func(c *Config) { c.DrainTimeout = 9000 * time.Hour }, "--drain-timeout 9000h is too long: give at most a year (8760h)"},
		{"idle longer than drain", func(c *Config) { c.DrainTimeout = 5 * time.Second }, "--drain-idle 10s is longer than --drain-timeout 5s"},

		{"no bind", func(c *Config) { c.Binds = nil }, "no --bind: nothing to listen on"},
		{"a bind twice", func(c *Config) { c.Binds = []Bind{bind(":80"), bind("[::1]:80"), bind("tcp://:80")} }, "--bind tcp://:80 is given twice"},
		{"tcp and tls on one address", func(c *Config) {
			c.Binds = []Bind{bind("[::1]:80?proxy=on"), bind("tls://[::1]:80?cert=a&key=b")}
		}, "--bind tls://[::1]:80 is given twice"},
		{"all interfaces twice", func(c *Config) { c.Binds = []Bind{bind(":80"), bind("[::]:80")} }, "--bind tcp://[::]:80 is given twice"},
		{"a path twice", func(c *Config) { c.Binds = []Bind{bind("unix:///a:0"), bind("unix:///a:0?mode=0600")} }, "--bind unix:///a:0 is given twice"},
		{"a name of two kinds", func(c *Config) { c.Binds = []Bind{bind("fd://@a"), bind("unix://@a")} }, ""},
		{"a given socket twice", func(c *Config) { c.Binds = []Bind{bind("fd://a"), bind("fd://a")} }, "--bind fd://a is given twice"},
		{"two free ports", func(c *Config) { c.Binds = []Bind{bind("127.0.0.1:0"), bind("127.0.0.1:0")} }, ""},
		{"no metrics", func(c *Config) { c.Metrics = "off" }, ""},
		{"empty metrics", func(c *Config) { c.Metrics = "" }, `--metrics "" is no HOST:PORT`},
		{"metrics without port", func(c *Config) { c.Metrics = "127.0.0.1" }, `--metrics "127.0.0.1" is no HOST:PORT`},
		{"metrics on a bind", func(c *Config) { c.Metrics = "127.0.0.1:9292" }, "--metrics 127.0.0.1:9292 is the address of --bind tcp://127.0.0.1:9292 too"},
		{"metrics on a tls bind", func(c *Config) { c.Metrics, c.Binds = ":80", []Bind{bind("tls://[::]:80?cert=a&key=b")} }, "--metrics :80 is the address of --bind tls://[::]:80 too"},
		{"metrics as a path", func(c *Config) { c.Metrics, c.Binds = ":9394", []Bind{bind("unix:///x:9394")} }, ""},
		{"free ports for both", func(c *Config) { c.Metrics, c.Binds = "127.0.0.1:0", []Bind{bind("127.0.0.1:0")} }, ""},
		{"log format", func(c *Config) { c.LogFormat = "xml" }, `--log-format "xml": give text or json`},
		{"log level", func(c *Config) { c.LogLevel = "loud" }, `--log-level "loud": give debug, info, warn or error`},
		{"mode", func(c *Config) { c.Mode = "threads" }, `--mode "threads": give prefork or inprocess`},
		{"dispatch", func(c *Config) { c.Dispatch = "" }, `--dispatch "": give reuseport, shared, handoff, passed or copied`},
		{"pool", func(c *Config) { c.Pool = "heap" }, `--pool "heap": give lease, queue, lanes or unbounded`},
		{"engine", func(c *Config) { c.Engine = "netty" }, `--engine "netty": give nethttp or fasthttp`},
		{"threads to lock that are none", func(c *Config) { c.OSThreads = true }, "--os-threads true is for --pool queue or lanes: in pool lease a request runs on the goroutine of its connection"},
		{"threads to lock", func(c *Config) { c.OSThreads, c.Pool = true, "queue" }, ""},
		{"threads that poll and are none", func(c *Config) { c.BusyPoll = time.Microsecond }, "--busy-poll 1µs is for --pool queue or lanes: in pool lease no thread waits"},
		{"threads that poll", func(c *Config) { c.BusyPoll, c.Pool = time.Microsecond, "queue" }, ""},
		{"threads of lanes", func(c *Config) { c.OSThreads, c.BusyPoll, c.Pool = true, time.Microsecond, "lanes" }, ""},
		{"threads to lock of a pool without any", func(c *Config) { c.OSThreads, c.Pool = true, "unbounded" }, "--os-threads true is for --pool queue or lanes: in pool unbounded a request runs on the goroutine of its connection"},
		{"threads that poll of a pool without any", func(c *Config) { c.BusyPoll, c.Pool = time.Microsecond, "unbounded" }, "--busy-poll 1µs is for --pool queue or lanes: in pool unbounded no thread waits"},
		{"a batch", func(c *Config) { c.Batch, c.Pool = 4, "queue" }, ""},
		{"no batch", func(c *Config) { c.Batch, c.Pool = 0, "queue" }, "--batch 0 is out of range: give 1 to 1024"},
		{"a batch without a queue", func(c *Config) { c.Batch = 2 }, "--batch 2 is for --pool queue: only there"},
		{"a batch of lanes", func(c *Config) { c.Batch, c.Pool = 2, "lanes" }, "--batch 2 is for --pool queue: only there"},
		{"lanes in process", func(c *Config) { c.Mode, c.Pool = "inprocess", "lanes" }, ""},
		{"unbounded in process", func(c *Config) { c.Mode, c.Pool = "inprocess", "unbounded" }, "--pool unbounded does not go with --mode inprocess: there the thread"},
		{"lanes and handoff", func(c *Config) { c.Dispatch, c.Pool = "handoff", "lanes" }, "--pool lanes does not go with --dispatch handoff: a request that stands"},
		{"unbounded and handoff", func(c *Config) { c.Dispatch, c.Pool = "handoff", "unbounded" }, "--pool unbounded does not go with --dispatch handoff: what is passed on"},
		{"a batch and handoff", func(c *Config) { c.Dispatch, c.Pool, c.Batch = "handoff", "queue", 2 }, "--batch 2 does not go with --dispatch handoff: a request that a thread"},
		{"a queue and handoff", func(c *Config) { c.Dispatch, c.Pool = "handoff", "queue" }, ""},
		{"negative poll", func(c *Config) { c.BusyPoll = -1 }, "--busy-poll -1ns is too short: give at least 0s"},
		{"long poll", func(c *Config) { c.BusyPoll = 9000 * time.Hour }, "--busy-poll 9000h is too long"},
		{"engine of a program", func(c *Config) { c.Engine, c.Program = "fasthttp", []string{"./app"} }, "--engine fasthttp is for the reference application: the engine of program ./app is what it calls, worker.Serve or fasthttpworker.Serve"},
		{"engine of a program that is the default", func(c *Config) { c.Program = []string{"./app"} }, ""},
		{"program without a name", func(c *Config) { c.Program = []string{"", "x"} }, `program "" is no program`},
		{"program with a zero", func(c *Config) { c.Program = []string{"x", "y\x00"} }, `program "y\x00" has a zero byte`},
		{"a path with a zero", func(c *Config) { c.Pidfile = "x\x00" }, `--pidfile "x\x00" has a zero byte`},

		{"more threads than cells", func(c *Config) { c.Threads, c.MaxThreads = 9, 8 }, "--threads 9 is more than --max-threads 8: give 1 to 8, or raise --max-threads"},
		{"as many", func(c *Config) { c.Threads, c.MaxThreads = 8, 8 }, ""},
		{"far too many threads", func(c *Config) { c.Threads, c.MaxThreads = 1025, 8 }, "--threads 1025 is out of range"},
		{"silent for ever", func(c *Config) { c.DrainIdle = 9000 * time.Hour }, "--drain-idle 9000h is too long"},
		{"drained before", func(c *Config) { c.DrainTimeout = -time.Second }, "--drain-timeout -1s is too short"},
		{"any number of cells", func(c *Config) { c.Threads, c.MaxThreads = 900, 0 }, ""},
		{"too many cells", func(c *Config) { c.MaxThreads = 1025 }, "--max-threads 1025 is out of range: give 0 to 1024"},
		{"negative cells", func(c *Config) { c.MaxThreads = -1 }, "--max-threads -1 is out of range"},
		{"backlog", func(c *Config) { c.Backlog = -1 }, "--backlog -1 is out of range: give 0 to 1048576"},
		{"connections", func(c *Config) { c.MaxConnections = -1 }, "--max-connections -1 is out of range: give 0 to 16777216"},
		{"requests of a connection", func(c *Config) { c.MaxRequestsPerConnection = -1 }, "--max-requests-per-connection -1 is out of range"},
		{"body timeout", func(c *Config) { c.BodyTimeout = 0 }, "--body-timeout 0s is too short: give at least 1s"},
		{"usual head", func(c *Config) { c.MaxHead = 0 }, ""},
		{"small head", func(c *Config) { c.MaxHead = 1023 }, "--max-head 1023 is out of range: give 0, or 1KiB to 64MiB"},
		{"large head", func(c *Config) { c.MaxHead = 65 << 20 }, "--max-head 65MiB is out of range"},
		{"negative body", func(c *Config) { c.MaxBody = -1 }, "--max-body -1 is out of range"},
		{"memory for fewer workers", func(c *Config) { c.Memory, c.Workers = 95<<20, 4 }, "--memory 95MiB is too little for --workers 4: give at least 96MiB, 16MiB a worker process and 32MiB for the master"},
		{"memory for no process", func(c *Config) { c.Memory, c.Workers, c.Mode = 47<<20, 4, "inprocess" }, "--memory 47MiB is too little for --workers 4: give at least 48MiB"},
		{"an age of no use", func(c *Config) { c.RecycleAge = time.Millisecond }, "--recycle-age 1ms is too short: give at least 1s"},
		{"buffer larger than bodies", func(c *Config) { c.MaxBody = 1 << 10 }, "--buffer-body 64KiB is more than --max-body 1KiB"},
		{"buffer as large as bodies", func(c *Config) { c.MaxBody = 64 << 10 }, ""},
		{"negative buffer", func(c *Config) { c.BufferResponse = -1 }, "--buffer-response -1 is out of range: give 0 to 1GiB"},
		{"group alone", func(c *Config) { c.Group = "web" }, `--group "web" is given without --user`},
		{"group and user", func(c *Config) { c.Group, c.User = "web", "app" }, ""},
		{"umask", func(c *Config) { c.Umask = "0027" }, ""},
		{"umask that is not octal", func(c *Config) { c.Umask = "028" }, `--umask "028" is no mask: give octal digits, 000 to 777, such as 022`},
		{"umask of more than permissions", func(c *Config) { c.Umask = "1000" }, `--umask "1000" is no mask`},
		{"umask with a sign", func(c *Config) { c.Umask = "-1" }, `--umask "-1" is no mask`},
		{"a file for nothing", func(c *Config) { c.LogRequestsFile = "x" }, `--log-requests-file "x" would stay empty: give --log-requests too`},
		{"a file for requests", func(c *Config) { c.LogRequestsFile, c.LogRequests = "x", true }, ""},
		{"no name", func(c *Config) { c.Name = "" }, `--name "" cannot name a control socket`},
		{"a path for a name", func(c *Config) { c.Name = "../x" }, `--name "../x" cannot name a control socket`},
		{"a name of two", func(c *Config) { c.Name = "a\x00b" }, `--name "a\x00b" cannot name a control socket`},
		{"passed", func(c *Config) { c.Dispatch, c.User = "passed", "app" }, ""},
		{"copied to a unix socket", func(c *Config) { c.Dispatch, c.Binds = "copied", []Bind{{Scheme: "unix", Address: "/run/x"}} }, ""},
		{"passed, and a PROXY header", func(c *Config) { c.Dispatch, c.Binds[0].Proxy = "passed", true }, "--bind tcp://127.0.0.1:9292 has proxy=on, which a front does not read"},
		{"copied, and a PROXY header", func(c *Config) { c.Dispatch, c.Binds[0].Proxy = "copied", true }, "--bind tcp://127.0.0.1:9292 has proxy=on, which a front does not read"},
		{"passed, and TLS", func(c *Config) { c.Dispatch, c.Binds[0].Scheme = "passed", "tls" }, "--bind tls://127.0.0.1:9292 speaks TLS, and workers take plain connections only from a front"},
		{"copied, and TLS", func(c *Config) { c.Dispatch, c.Binds[0].Scheme = "copied", "tls" }, "--bind tls://127.0.0.1:9292 speaks TLS, which a front that copies requests does not"},
		{"copied, and a user", func(c *Config) { c.Dispatch, c.User = "copied", "app" }, "--dispatch copied does not go with --user or --group"},
		{"a name that is not used", func(c *Config) { c.Name, c.Control = "../x", "/run/x.sock" }, ""},
	} {
		c := Default()
		c.Workers = 2 // not that of the machine
		test.change(&c)
		err := c.Check()
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		case err != nil && strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: one thing is wrong and more are named: %v", test.name, err)
		}
	}
}

func TestCheckNamesAll(t *testing.T) {
	c := Default()
	c.Workers, c.Threads, c.Surge, c.LogFormat = 0, 0, 0, ""
	if n := strings.Count(c.Check().Error(), "\n") + 1; n != 4 {
		t.Errorf("%d errors, want 4:\n%v", n, c.Check())
	}
}

func TestWorkerMemory(t *testing.T) {
	c := Default()
	if c.WorkerMemory(4) != 0 || c.FitInMemory() != MaxSlots {
		t.Errorf("without a limit: %d bytes, %d workers", c.WorkerMemory(4), c.FitInMemory())
	}
	c.Memory = 232 << 20
	if got := c.WorkerMemory(4); got != 45<<20 {
		t.Errorf("%d bytes for each of 4, want 45 MiB", got)
	}
	if got := c.FitInMemory(); got != 12 {
		t.Errorf("%d workers fit, want 12", got)
	}
}
