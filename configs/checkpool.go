package configs

// ofPools are the settings of pools, which go together in any configuration that is right.
var ofPools = []string{"pool", "os-threads", "busy-poll", "batch"}

// poolRelations are the problems of a pool with what does not go with it.
func (c *Config) poolRelations() []problem {
	var found []problem
	inline := c.Pool == "lease" || c.Pool == "unbounded"
	if inline && c.OSThreads {
		found = append(found, problem{
			c.plain("os-threads"), " is for ", name("pool"),
			" queue or lanes: in pool " + c.Pool + " a request runs on the goroutine of its connection, and no thread is there to lock",
		})
	}
	if inline && c.BusyPoll > 0 && c.BusyPoll <= maxDuration {
		found = append(found, problem{
			c.plain("busy-poll"), " is for ", name("pool"),
			" queue or lanes: in pool " + c.Pool + " no thread waits for requests",
		})
	}
	if c.Batch > 1 && c.Pool != "queue" {
		found = append(found, problem{c.plain("batch"), " is for ", name("pool"), " queue: only there threads take requests from one queue"})
	}
	if c.Pool == "unbounded" && c.InProcess() {
		found = append(found, problem{
			c.plain("pool"), " does not go with ", c.plain("mode"),
			": there the thread of a request says which worker it counts for, and it would have none",
		})
	}
	if c.Dispatch != "handoff" {
		return found
	}
	switch {
	case c.Pool == "unbounded":
		found = append(found, problem{
			c.plain("pool"), " does not go with ", c.plain("dispatch"),
			": what is passed on are requests that wait for a thread, and none would",
		})
	case c.Pool == "lanes":
		found = append(found, problem{
			c.plain("pool"), " does not go with ", c.plain("dispatch"),
			": a request that stands in the lane of a thread cannot be passed on",
		})
	case c.Pool == "queue" && c.Batch > 1:
		found = append(found, problem{
			c.plain("batch"), " does not go with ", c.plain("dispatch"),
			": a request that a thread has taken cannot be passed on",
		})
	}
	return found
}
