package configs

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of the numbers. A scoreboard of MaxSlots × MaxCells is the largest that is laid out.
const (
	MaxSlots = 1024
	MaxCells = 1024
)

// maxMemory is more than any machine has.
const maxMemory = 1 << 50

// maxDuration keeps sums of durations from running over.
const maxDuration = 365 * 24 * time.Hour

// Check returns everything that is wrong, an Errors of one error a setting; nil if nothing is. What only the machine can
// tell, such as whether a user exists, is found at the start.
func (c *Config) Check() error {
	var all Errors
	for _, p := range c.problems() {
		all = append(all, p.tell(nil))
	}
	return all.sorted()
}

func (c *Config) problems() []problem {
	var found []problem
	for i := range schema {
		found = append(found, schema[i].problems(c)...)
	}
	return append(found, c.relations()...)
}

// problems are those of the value alone, and of workers, whose range another setting has.
func (s *Setting) problems(c *Config) []problem {
	switch s.Name {
	case "workers":
		return c.workersProblems()
	case "name":
		if c.Control == "" && (c.Name == "" || strings.ContainsAny(c.Name, "/\x00")) {
			return []problem{{c.quoted("name"), " cannot name a control socket: give a name without a slash"}}
		}
		return nil // it is not used
	case "umask":
		if mask, err := strconv.ParseUint(c.Umask, 8, 32); c.Umask != "" && (err != nil || mask > 0o777) {
			return []problem{{c.quoted("umask"), " is no mask: give octal digits, 000 to 777, such as 022"}}
		}
	case "bind":
		return c.bindProblems()
	case "metrics":
		return c.metricsProblems()
	}
	switch s.Kind {
	case Number, Size, Duration:
		return s.rangeProblems(c)
	case Choice:
		if !slices.Contains(s.Words, s.Text(c)) {
			return []problem{{c.quoted(s.Name), ": give " + either(s.Words)}}
		}
	case Text:
		if strings.ContainsRune(s.Text(c), 0) {
			return []problem{{c.quoted(s.Name), " has a zero byte, which no path and no name may have"}}
		}
	case Words:
		return c.programProblems()
	}
	return nil
}

func (s *Setting) rangeProblems(c *Config) []problem {
	n, _ := s.numeric(c)
	if n >= s.low && n <= s.high || n == 0 && s.zero {
		return nil
	}
	subject := c.plain(s.Name)
	switch {
	case s.Kind == Duration && n < s.low:
		return []problem{{subject, " is too short: give at least " + s.format(s.low)}}
	case s.Kind == Duration:
		return []problem{{subject, " is too long: give at most a year (" + s.format(s.high) + ")"}}
	}
	return []problem{{subject, " is out of range: give " + s.Range()}}
}

// Range is what a number or a size may be: "1 to 1024".
func (s *Setting) Range() string {
	text := s.format(s.low) + " to " + s.format(s.high)
	if s.zero {
		text = "0, or " + text
	}
	return text
}

func (c *Config) workersProblems() []problem {
	most := max(c.Workers, c.Elastic)
	if c.MaxWorkers >= 1 && c.MaxWorkers <= MaxSlots && most > c.MaxWorkers {
		return []problem{{
			c.plain("workers"), " is more than ", c.plain("max-workers"), ": give 1 to " + strconv.Itoa(c.MaxWorkers) + ", or raise ",
			name("max-workers"), " (at most " + strconv.Itoa(MaxSlots) + ")",
		}}
	}
	if high := min(max(c.MaxWorkers, 1), MaxSlots); c.Workers < 1 || most > high || c.Elastic < 0 {
		return []problem{{c.plain("workers"), " is out of range: give 1 to " + strconv.Itoa(high)}}
	}
	switch {
	case c.Elastic == 0:
	case c.Elastic <= c.Workers:
		return []problem{{c.plain("workers"), " is no range: the second number is to be larger than the first"}}
	case c.InProcess():
		return []problem{{c.plain("workers"), " does not go with ", c.plain("mode"), ": the threads of one process cost little, so give as many as the load may need"}}
	}
	return nil
}

func (c *Config) programProblems() []problem {
	if len(c.Program) > 0 && c.Program[0] == "" {
		return []problem{{mention{name: "program", quoted: true}, " is no program: give its path or its name"}}
	}
	for i, word := range c.Program {
		if strings.ContainsRune(word, 0) {
			return []problem{{mention{name: "program", item: i, value: word, quoted: true}, " has a zero byte, which no argument may have"}}
		}
	}
	return nil
}

func (c *Config) bindProblems() []problem {
	if len(c.Binds) == 0 {
		return []problem{{"no ", name("bind"), ": nothing to listen on"}}
	}
	var found []problem
	for i, b := range c.Binds {
		if slices.ContainsFunc(c.Binds[:i], b.conflicts) {
			found = append(found, problem{mention{name: "bind", item: i, value: b.Plain(), spelt: true}, " is given twice"})
		}
	}
	return found
}

func (c *Config) metricsProblems() []problem {
	if c.Metrics == "off" {
		return nil
	}
	_, _, err := net.SplitHostPort(c.Metrics)
	if err == nil {
		_, err = net.ResolveTCPAddr("tcp", c.Metrics)
	}
	if err != nil {
		return []problem{{c.quoted("metrics"), " is no HOST:PORT (" + err.Error() + `); "off" serves none`}}
	}
	if i := slices.IndexFunc(c.Binds, Bind{Scheme: "tcp", Address: c.Metrics}.conflicts); i >= 0 {
		return []problem{{
			c.plain("metrics"), " is the address of ",
			mention{name: "bind", item: i, value: c.Binds[i].Plain(), spelt: true},
			" too: give another one, port 0 for any, or off",
		}}
	}
	return nil
}

// relations are the problems of values that do not go together.
func (c *Config) relations() []problem {
	var found []problem
	if c.MaxThreads >= 1 && c.MaxThreads <= MaxCells && c.Threads > c.MaxThreads && c.Threads <= MaxCells {
		found = append(found, problem{c.plain("threads"), " is more than ", c.plain("max-threads"), ": give 1 to " + strconv.Itoa(c.MaxThreads) + ", or raise ", name("max-threads")})
	}
	if c.DrainIdle > c.DrainTimeout && c.DrainIdle <= maxDuration && c.DrainTimeout >= 0 {
		found = append(found, problem{c.plain("drain-idle"), " is longer than ", c.plain("drain-timeout"), ": a draining worker would be gone before it closes its silent connections"})
	}
	if c.MaxBody > 0 && c.BufferBody > c.MaxBody {
		found = append(found, problem{c.plain("buffer-body"), " is more than ", c.plain("max-body"), ": larger bodies are refused, so give at most that much"})
	}
	if c.Group != "" && c.User == "" {
		found = append(found, problem{c.quoted("group"), " is given without ", name("user"), ": say as which user of the group the workers are to run"})
	}
	if c.LogRequestsFile != "" && !c.LogRequests {
		found = append(found, problem{c.quoted("log-requests-file"), " would stay empty: give ", name("log-requests"), " too"})
	}
	if c.Memory > 0 && c.Memory <= maxMemory && c.Processes() > c.FitInMemory() {
		found = append(found, problem{
			c.plain("memory"), " is too little for ", c.plain("workers"), ": give at least " + formatSize(masterMemory+int64(c.Processes())*workerMemory) +
				", " + formatSize(workerMemory) + " a worker process and " + formatSize(masterMemory) + " for the master",
		})
	}
	found = append(found, c.poolRelations()...)
	found = append(found, c.frontProblems()...)
	if c.Engine == "fasthttp" && len(c.Program) > 0 {
		found = append(found, problem{c.plain("engine"), " is for the reference application: the engine of ", mention{name: "program", value: c.Program[0]}, " is what it calls, worker.Serve or fasthttpworker.Serve"})
	}
	return found
}

// frontProblems are what a front cannot do. It is there for measuring, and so small.
func (c *Config) frontProblems() []problem {
	if !c.Fronted() {
		return nil
	}
	var found []problem
	for i, b := range c.Binds {
		bind := mention{name: "bind", item: i, value: b.Plain(), spelt: true}
		switch {
		case b.Proxy:
			found = append(found, problem{bind, " has proxy=on, which a front does not read: give another ", name("dispatch"), " than " + c.Dispatch})
		case b.Scheme == "tls" && c.Copied():
			found = append(found, problem{bind, " speaks TLS, which a front that copies requests does not: give another ", name("dispatch"), " than copied"})
		case b.Scheme == "tls":
			found = append(found, problem{bind, " speaks TLS, and workers take plain connections only from a front: give another ", name("dispatch"), " than passed"})
		}
	}
	if c.Copied() && (c.User != "" || c.Group != "") {
		found = append(found, problem{c.plain("dispatch"), " does not go with ", name("user"), " or ", name("group"), ": the front reaches the workers through sockets in a folder that only the user of the master can enter"})
	}
	return found
}

// plain mentions a setting with its value.
func (c *Config) plain(name string) mention {
	return mention{name: name, value: settingNamed(name).Text(c)}
}

// quoted is plain for a value that may be anything.
func (c *Config) quoted(name string) mention {
	m := c.plain(name)
	m.quoted = true
	return m
}

// name mentions a setting without its value.
func name(setting string) mention { return mention{name: setting, bare: true} }
