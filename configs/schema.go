package configs

import (
	"slices"
	"time"
)

// schema is all settings, in the order in which people are shown them. Everything that knows settings is made from it.
var schema = slices.Concat(
	in(
		Topology,
		choice("mode", Fixed, "prefork inprocess", "prefork, a process for each worker; inprocess, one process with the threads of all workers", func(c *Config) *string { return &c.Mode }),
		number("workers", Live, 1, MaxSlots, "workers; auto: the CPUs that this cgroup may use; LOW:HIGH, as in 2:8: as many as the load needs", func(c *Config) *int { return &c.Workers }).
			orRange(func(c *Config) *int { return &c.Elastic }).short("w").word("auto").also("WEB_CONCURRENCY"),
		number("threads", Live, 1, MaxCells, "threads a worker: requests that it handles at a time", func(c *Config) *int { return &c.Threads }).
			short("t").also("MAX_THREADS").inProcess(Restart),
		number("max-workers", Fixed, 1, MaxSlots, "the most workers that scaling may reach", func(c *Config) *int { return &c.MaxWorkers }),
		number("max-threads", Fixed, 0, MaxCells, "the most threads a worker that a reload may reach; 0: the larger of threads and 32", func(c *Config) *int { return &c.MaxThreads }),
		choice("dispatch", Fixed, "reuseport shared handoff", "how connections reach workers: a listener each, one shared, handoff", func(c *Config) *string { return &c.Dispatch }).
			orForMeasuring("passed copied"),
		choice("pool", Restart, "lease queue", "how requests get threads: run where read (lease), or handed over (queue)", func(c *Config) *string { return &c.Pool }).
			orForMeasuring("lanes unbounded"),
		choice("engine", Restart, "nethttp fasthttp", "HTTP engine of the reference application; a program has its own", func(c *Config) *string { return &c.Engine }),
		toggle("gvl", Restart, "one goroutine of a worker process runs Go code at a time, as under Ruby's lock: GOMAXPROCS=1", func(c *Config) *bool { return &c.GVL }),
		toggle("os-threads", Restart, "lock each thread of pool queue or lanes to an OS thread", func(c *Config) *bool { return &c.OSThreads }).forMeasuring(),
		duration("busy-poll", 0, "how long a thread of pool queue or lanes looks for its next request before it parks", func(c *Config) *time.Duration { return &c.BusyPoll }).
			needs(Restart).forMeasuring(),
		number("batch", Restart, 1, 1024, "requests that a thread of pool queue takes at once, to run one after the other", func(c *Config) *int { return &c.Batch }).forMeasuring(),
	),
	in(
		Addresses,
		Setting{
			Name: "bind", Short: "b", Kind: Binds, Change: Fixed, Usage: "address to listen on, such as tcp://HOST:PORT; may be repeated",
			field: pointer(func(c *Config) *[]Bind { return &c.Binds }),
		},
		number("backlog", Fixed, 0, 1<<20, "connections that may wait in a listener; 0: as many as the system allows (net.core.somaxconn)", func(c *Config) *int { return &c.Backlog }),
		text("metrics", Fixed, "address of /metrics, /livez and /readyz, or off", func(c *Config) *string { return &c.Metrics }),
		text("metrics-token-file", Live, "file with the token that the metrics address asks for, but for /livez and /readyz", func(c *Config) *string { return &c.MetricsTokenFile }).
			without("no token is asked for"),
		toggle("page", Live, "serve the page and read-only API on the metrics address", func(c *Config) *bool { return &c.Page }),
		text("name", Fixed, "name of the cluster: names its control socket", func(c *Config) *string { return &c.Name }),
		text("control", Fixed, "path of the control socket", func(c *Config) *string { return &c.Control }).
			without("$XDG_RUNTIME_DIR/cluster/NAME.sock, else /tmp/cluster-UID/NAME.sock"),
	),
	in(
		Limits,
		number("max-connections", Live, 0, 1<<24, "connections open at a time, a worker; 0: as many as the limit of descriptors allows", func(c *Config) *int { return &c.MaxConnections }),
		number("max-requests-per-connection", Live, 0, 1<<30, "requests answered before a connection is closed; 0: any number", func(c *Config) *int { return &c.MaxRequestsPerConnection }),
		number("queue-depth", Live, 0, 1<<20, "requests that may wait for a thread, a worker; more are answered 503", func(c *Config) *int { return &c.QueueDepth }),
		size("max-head", Restart, 1<<10, 64<<20, "bytes of a request head, else 431; 0: what is usual for the engine", func(c *Config) *int64 { return &c.MaxHead }).orZero(),
		size("max-body", Live, 0, 1<<40, "bytes of a request body, else 413; 0: any size", func(c *Config) *int64 { return &c.MaxBody }),
		size("buffer-body", Live, 0, 1<<30, "bytes of a request body that are read before the request takes a thread", func(c *Config) *int64 { return &c.BufferBody }),
		size("buffer-response", Live, 0, 1<<30, "bytes of a response that are kept for a client that is slow to read it", func(c *Config) *int64 { return &c.BufferResponse }),
		size("memory", Live, 0, maxMemory, "memory of all processes together: limits each heap, and renews the largest worker; 0: any", func(c *Config) *int64 { return &c.Memory }),
	),
	in(
		Timeouts,
		duration("queue-timeout", time.Millisecond, "how long a request waits for a thread before it is answered 503", func(c *Config) *time.Duration { return &c.QueueTimeout }),
		duration("request-timeout", 0, "how long a request may take before it is answered 504; 0: any time", func(c *Config) *time.Duration { return &c.RequestTimeout }),
		duration("head-timeout", time.Second, "for a complete request head", func(c *Config) *time.Duration { return &c.HeadTimeout }),
		duration("body-timeout", time.Second, "how long a client that sends a request body may be silent", func(c *Config) *time.Duration { return &c.BodyTimeout }),
		duration("idle-timeout", time.Second, "how long a keep-alive connection may be silent", func(c *Config) *time.Duration { return &c.IdleTimeout }),
		duration("write-timeout", time.Second, "how long a response may be stuck at a client that does not read", func(c *Config) *time.Duration { return &c.WriteTimeout }),
		duration("drain-delay", 0, "how long all is served as before when the cluster stops, while /readyz says 503", func(c *Config) *time.Duration { return &c.DrainDelay }),
		duration("drain-timeout", 0, "how long a leaving worker may take to finish", func(c *Config) *time.Duration { return &c.DrainTimeout }),
		duration("drain-idle", 0, "how long a leaving worker waits for a silent connection to speak once more", func(c *Config) *time.Duration { return &c.DrainIdle }),
		duration("orphan-grace", 0, "how long workers go on when the master has died", func(c *Config) *time.Duration { return &c.OrphanGrace }),
	),
	in(
		Supervision,
		duration("boot-timeout", 100*time.Millisecond, "from starting a worker to its being ready", func(c *Config) *time.Duration { return &c.BootTimeout }),
		duration("heartbeat-timeout", 3*time.Second, "silence after which a worker is killed (not a limit on requests)", func(c *Config) *time.Duration { return &c.HeartbeatTimeout }),
		duration("settle", 0, "how long a new worker must stay ready before the old one drains", func(c *Config) *time.Duration { return &c.Settle }),
		duration("probation", 0, "a new worker that dies so soon after ready takes the restart back", func(c *Config) *time.Duration { return &c.Probation }),
		number("recycle-requests", Live, 0, 1<<30, "requests that a worker answers before it is renewed, less up to a fifth at random; 0: any number", func(c *Config) *int { return &c.RecycleRequests }),
		duration("recycle-age", time.Second, "age at which a worker is renewed, less up to a fifth at random; 0: any", func(c *Config) *time.Duration { return &c.RecycleAge }).orZero(),
		size("recycle-memory", Live, 1<<20, maxMemory, "anonymous memory at which a worker is renewed, less up to a fifth at random; 0: any", func(c *Config) *int64 { return &c.RecycleMemory }).orZero(),
		number("surge", Live, 1, MaxSlots, "workers that a rolling restart replaces at a time, after the first", func(c *Config) *int { return &c.Surge }),
		text("on-ready", Live, "command for /bin/sh when the cluster is ready, at first and after each restart", func(c *Config) *string { return &c.OnReady }).
			without("none"),
		text("on-crash", Live, "command for /bin/sh when a worker has died or cannot be started", func(c *Config) *string { return &c.OnCrash }).
			without("none"),
		text("on-restart", Live, "command for /bin/sh when a rolling restart was done, aborted, superseded or cancelled", func(c *Config) *string { return &c.OnRestart }).
			without("none"),
		duration("hook-timeout", 100*time.Millisecond, "how long such a command may run before it is killed", func(c *Config) *time.Duration { return &c.HookTimeout }),
	),
	in(
		Logging,
		choice("log-format", Fixed, "text json", "form of the log: text or json", func(c *Config) *string { return &c.LogFormat }),
		choice("log-level", Live, "debug info warn error", "the least that is logged: debug, info, warn or error", func(c *Config) *string { return &c.LogLevel }),
		toggle("quiet", Live, "log warnings and errors only, as log-level warn does", func(c *Config) *bool { return &c.Quiet }).short("q"),
		text("log-file", Fixed, "file for the log and for all that workers print; reopened on HUP", func(c *Config) *string { return &c.LogFile }).
			without("standard error"),
		toggle("log-requests", Restart, "log one line a request", func(c *Config) *bool { return &c.LogRequests }),
		text("log-requests-file", Restart, "file for the lines of log-requests; reopened on HUP", func(c *Config) *string { return &c.LogRequestsFile }).
			without("standard output"),
	),
	in(
		Process,
		Setting{
			Name: "program", Kind: Words, Change: Restart, Usage: "program that the workers run, with its arguments; on the command line it is what follows --",
			unset: "the reference application", field: pointer(func(c *Config) *[]string { return &c.Program }),
		},
		text("chdir", Restart, "working directory of the workers, resolved anew at each restart", func(c *Config) *string { return &c.Chdir }).
			without("that of the master"),
		text("user", Restart, "user that the workers run as, a name or a number", func(c *Config) *string { return &c.User }).
			without("that of the master"),
		text("group", Restart, "group that the workers run as, a name or a number", func(c *Config) *string { return &c.Group }).
			without("that of user"),
		text("umask", Restart, "octal mask of the files that the workers create", func(c *Config) *string { return &c.Umask }).
			without("that of the master"),
		text("pidfile", Fixed, "file for the pid of the master", func(c *Config) *string { return &c.Pidfile }).
			without("none"),
	),
)

// Settings are all settings of a cluster, in the order in which people are shown them.
func Settings() []Setting { return slices.Clone(schema) }

// settingNamed is nil if there is none of the name.
func settingNamed(name string) *Setting {
	if i := slices.IndexFunc(schema, func(s Setting) bool { return s.Name == name }); i >= 0 {
		return &schema[i]
	}
	return nil
}
