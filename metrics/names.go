package metrics

import (
	"slices"
	"strings"

	"github.com/prefork/cluster/ipc/scoreboard"
)

// Every series that the master exports, in one place. Labels: slot, class, part, reason, bind, resource, outcome, state, metric; pid and
// generation only on info series.
var (
	buildInfo     = desc("cluster_build_info", "The running master: version and Go version.", "version", "go_version")
	startTime     = desc("cluster_start_time_seconds", "When the master was started, in seconds since 1970.")
	workersWanted = desc("cluster_workers_wanted", "Workers that there should be.")
	workersReady  = desc("cluster_workers_ready", "Slots that are served by their own ready worker.")
	generation    = desc("cluster_generation", "The generation that every slot is to run.")
	rollouts      = desc("cluster_rolling_restarts_total", "Rolling restarts that have ended, by outcome; reason says why an aborted one went back.", "outcome", "reason")
	masterCPU     = desc("cluster_master_cpu_seconds_total", "CPU time of the master, user and system.")
	masterPSS     = desc("cluster_master_memory_pss_bytes", "Proportional set size of the master, sampled.")
	masterAnon    = desc("cluster_master_memory_anonymous_bytes", "Anonymous memory of the master, sampled.")
	logDropped    = desc("cluster_log_lines_dropped_total", "Log lines of the master that were dropped because nobody read the log.")

	appSeries    = desc("cluster_application_series", "Series of the application that a scrape has now, a line each.")
	appDropped   = desc("cluster_application_series_dropped_total", "Times that a series of the application found no room among the 50,000 that there may be.")
	appConflicts = desc("cluster_application_metrics_conflicts_total", "Copies of a worker with a metric of the application that cannot be shown as the worker has it, by reason.", "metric", "reason")
	appFailures  = desc("cluster_application_metrics_failures_total", "Times that a worker had no new copy of the application's metrics, or not a whole one, by reason.", "reason")

	workerInfo  = desc("cluster_worker_info", "A worker: 1 for each that is alive.", "slot", "pid", "generation")
	workerState = desc("cluster_worker_state", "Workers of the slot in this state: 0, 1 or, during a restart, 2.", "slot", "state")
	exits       = desc("cluster_worker_exits_total", "Workers that left the slot, by reason.", "slot", "reason")
	heartbeat   = desc("cluster_worker_heartbeat_age_seconds", "How long ago the slot's ready worker last showed that it runs and dispatches requests; of two, the longer.", "slot")

	requests     = desc("cluster_requests_total", "Answers begun, by status class; requests refused by the pool are 5xx, hijacked connections 1xx.", "slot", "class")
	refused      = desc("cluster_requests_refused_total", "Of the 5xx answers: requests that found no thread in time and were answered 503.", "slot")
	timedOut     = desc("cluster_requests_timed_out_total", "Of the 5xx answers: requests that were answered 504 because their handlers took longer than request-timeout.", "slot")
	panics       = desc("cluster_handler_panics_total", "Handlers that panicked.", "slot")
	duration     = desc("cluster_request_duration_seconds", "Time from a thread taking a request to the handler's return.", "slot")
	queueWait    = desc("cluster_queue_wait_seconds", "Time from a request being readable to a thread taking it.", "slot")
	requestTime  = desc("cluster_request_time_seconds_total", "Where the time of requests went, from arrival to end: waiting for a thread, CPU, waiting for the Go scheduler, for a CPU, garbage collection, and the rest.", "slot", "part")
	lostLines    = desc("cluster_worker_log_lines_dropped_total", "Lines of the access log, and of the application's log if it goes through the library, that were dropped because nobody took them in time.", "slot")
	lostOutput   = desc("cluster_worker_output_dropped_total", "Lines that the slot's workers printed, to standard output or standard error, that were dropped because nobody read the log.", "slot")
	threads      = desc("cluster_threads", "Threads of the slot's ready workers: twice as many while two are ready.", "slot")
	threadsBusy  = desc("cluster_threads_busy", "Threads that run a request, those of draining workers included.", "slot")
	waiting      = desc("cluster_requests_waiting", "Requests that wait for a thread.", "slot")
	oldest       = desc("cluster_oldest_waiting_seconds", "How long the oldest waiting request has waited; 0 if none waits.", "slot")
	open         = desc("cluster_connections_open", "Connections that the slot's workers have open.", "slot")
	accepted     = desc("cluster_connections_accepted_total", "Connections accepted by the slot's workers, from their own listener or another slot's.", "slot")
	backlog      = desc("cluster_listen_backlog", "Connections that wait in the kernel to be accepted; slot is all for a listener that the slots share.", "slot", "bind")
	backlogLimit = desc("cluster_listen_backlog_limit", "Connections that may wait in the kernel; more are refused or have to try again.", "slot", "bind")

	handedOff = desc("cluster_handoff_connections_total", "Connections that the slot's workers passed on to siblings, by reason.", "slot", "reason")
	received  = desc("cluster_handoff_received_total", "Connections that siblings passed on to the slot's workers.", "slot")
	stayed    = desc("cluster_handoff_stayed_total", "Times that a connection was to be passed on and was not, by reason.", "slot", "reason")
	conflicts = desc("cluster_handoff_reservation_conflicts_total", "Times that a sibling's thread was found free and could not be reserved.", "slot")
	expired   = desc("cluster_handoff_reservations_expired_total", "Reservations of threads of the slot's workers that ended without their connection.", "slot")

	throttled = desc("cluster_cgroup_throttled_seconds_total", "How long run queues of the master's cgroup stood still because its CPU quota was used up, each CPU by itself; absent where it cannot be read.")
	pressure  = desc("cluster_pressure_ratio", "Share of the last 10 s in which some thread waited for the resource (PSI), of the master's cgroup, else of the machine; absent where it cannot be read.", "resource")

	pss        = desc("cluster_memory_pss_bytes", "Proportional set size of the slot's workers, sampled: shared pages count in parts.", "slot")
	anonymous  = desc("cluster_memory_anonymous_bytes", "Anonymous memory of the slot's workers, sampled: what they do not share with files.", "slot")
	heap       = desc("cluster_heap_bytes", "Go heap objects of the slot's workers.", "slot")
	goroutines = desc("cluster_goroutines", "Goroutines of the slot's workers.", "slot")
	cpu        = desc("cluster_cpu_seconds_total", "CPU time of the slot's workers, user and system.", "slot")
	gcCPU      = desc("cluster_gc_cpu_seconds_total", "Of cluster_cpu_seconds_total: what the garbage collector took, as the Go runtime estimates it.", "slot")
	sched      = desc("cluster_sched_latency_seconds", "Time that runnable goroutines waited for a CPU; the Go runtime samples every 8th.", "slot")
)

// series are the metrics of one name.
type series struct {
	name, help string
	labels     []string
	order      []int // of the labels, sorted
}

// descs are all of them.
var descs []*series

func desc(name, help string, labels ...string) *series {
	s := &series{name: name, help: help, labels: labels}
	for i := range labels {
		s.order = append(s.order, i)
	}
	slices.SortFunc(s.order, func(a, b int) int { return strings.Compare(labels[a], labels[b]) })
	descs = append(descs, s)
	return s
}

// allSlots is the value of the label slot for what belongs to no single one.
const allSlots = "all"

// classes are the values of the label class, in the order of the scoreboard.
var classes = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// moves and stays are the values of the label reason of handoff.
var (
	moves = [scoreboard.Moves]string{scoreboard.MovedPushed: "pushed", scoreboard.MovedHinted: "hinted", scoreboard.MovedDrained: "drained"}
	stays = [scoreboard.Stays]string{
		scoreboard.StayedTLS: "tls", scoreboard.StayedHTTP2: "http2", scoreboard.StayedHijacked: "hijacked", scoreboard.StayedBuffered: "buffered",
		scoreboard.StayedIncomplete: "incomplete", scoreboard.StayedFull: "inbox_full", scoreboard.StayedNoTarget: "no_target",
	}
)
