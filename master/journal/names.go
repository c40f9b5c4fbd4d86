package journal

// The names of events. They are stable: a name may come, none changes or gets another meaning.
const (
	ClusterStarting = "cluster_starting"
	ClusterReady    = "cluster_ready"
	Stopping        = "stopping"
	StopDelayed     = "stop_delayed"
	StoppingNow     = "stopping_now"

	WorkerStarted      = "worker_started"
	WorkerStartFailed  = "worker_start_failed"
	WorkerReady        = "worker_ready"
	WorkerStalled      = "worker_stalled"
	WorkerRecovered    = "worker_recovered"
	WorkerDrains       = "worker_drains"
	WorkerDrainFailed  = "worker_drain_failed"
	WorkerHangs        = "worker_hangs"
	WorkerKilled       = "worker_killed"
	WorkerLeftOpen     = "worker_left_open"
	WorkerLeft         = "worker_left"
	WorkerDied         = "worker_died"
	WorkerError        = "worker_error"
	WorkerAdoptFailed  = "worker_adopt_failed"
	WorkerLimitsFailed = "worker_limits_failed"
	WorkerKeysFailed   = "worker_keys_failed"
	WorkerPeersFailed  = "worker_peers_failed"
	MessageRefused     = "message_refused"
	WorkerRenewed      = "worker_renewed"
	WorkerNotRenewed   = "worker_not_renewed"
	WorkerTooLarge     = "worker_too_large"

	WorkerOutput   = "worker_output"
	FrontOutput    = "front_output"
	LogLinesLost   = "log_lines_lost"
	SlotFailed     = "slot_failed"
	PacketRejected = "packet_rejected"

	FrontStarted     = "front_started"
	FrontStartFailed = "front_start_failed"
	FrontReady       = "front_ready"
	FrontKilled      = "front_killed"
	FrontDied        = "front_died"
	FrontLeft        = "front_left"
	FrontHopeless    = "front_hopeless"

	RestartBegun    = "restart_begun"
	RestartRefused  = "restart_refused"
	RestartDone     = "restart_done"
	RestartFailed   = "restart_failed"
	RestartReturned = "restart_returned"

	Scaled       = "scaled"
	ScaleRefused = "scale_refused"
	ScaleKept    = "scale_kept"

	ThreadsChanged  = "threads_changed"
	LogLevelChanged = "log_level_changed"
	ControlRefused  = "control_refused"
	TokenReadable   = "token_readable"
	StatusPublic    = "status_public"
	NotifyFailed    = "notify_failed"

	MetricsConflict   = "metrics_conflict"
	MetricsUnreadable = "metrics_unreadable"

	HookFailed  = "hook_failed"
	HookKilled  = "hook_killed"
	HookSkipped = "hook_skipped"

	ReloadDone       = "reload_done"
	ReloadPartly     = "reload_partly"
	ReloadUnchanged  = "reload_unchanged"
	ReloadRefused    = "reload_refused"
	ReloadTakenBack  = "reload_taken_back"
	ReloadBackFailed = "reload_back_failed"

	LogsReopened       = "logs_reopened"
	LogsReopenFailed   = "logs_reopen_failed"
	CertificatesRead   = "certificates_read"
	CertificatesFailed = "certificates_failed"
	CertificateExpires = "certificate_expires"

	ConnectionsPassed = "connections_passed"
	ConnectionsClosed = "connections_closed"

	LimitsRead     = "limits_read"
	DescriptorsFew = "descriptors_few"
	MeasuringOnly  = "measuring_only"
	SocketsDiffer  = "sockets_differ"
	AddressHeld    = "address_held"
	StacksWritten  = "stacks_written"
	MasterBug      = "master_bug"
	EventsLost     = "events_lost"
)

// Name is one row of the table of events.
type Name struct {
	Name    string
	Meaning string // what has happened, and the fields beside the usual ones
}

// Names is the table of all events, as docs/events.md shows it.
var Names = []Name{
	{ClusterStarting, "the master serves its control socket and is about to start the workers: `version`, `pid`, `binds`, `mode`, `workers`, `threads`, `metrics`, `control`"},
	{ClusterReady, "every slot has its ready worker for the first time: `took`"},
	{StopDelayed, "the cluster is to end, and serves all as before until it drains: `delay`"},
	{Stopping, "the cluster drains its workers and ends: `timeout`"},
	{StoppingNow, "the cluster kills its workers and ends"},

	{WorkerStarted, "a worker's process was started (level debug)"},
	{WorkerStartFailed, "a worker's process could not be started: `reason`, `err`"},
	{WorkerReady, "a worker serves: `took`, from its start"},
	{WorkerStalled, "a ready worker shows no sign of life; other workers serve its listeners too: `silent`"},
	{WorkerRecovered, "a stalled worker shows signs of life again"},
	{WorkerDrains, "a worker finishes what runs and takes nothing new: `reason`"},
	{WorkerDrainFailed, "a worker did not take the message to drain and gets SIGTERM: `err`"},
	{WorkerHangs, "a worker gets SIGQUIT, so that it writes its stacks, before it is killed: `reason`, `err`"},
	{WorkerKilled, "a worker gets SIGKILL: `reason`"},
	{WorkerLeftOpen, "a worker ends with connections open: `open`"},
	{WorkerLeft, "a worker has ended as it was meant to: `reason`, `status`"},
	{WorkerDied, "a worker has ended by itself: `reason`, `status`, `open` connections that were lost, `err`, `retry` until the next start, " +
		"`output`, its last lines on standard error (at most 20, 1 KiB of each; not in the log, where they stand before)"},
	{WorkerError, "a worker reports an error: `err`"},
	{WorkerAdoptFailed, "a worker could not be given the listeners of slot `of`: `err`"},
	{WorkerLimitsFailed, "a worker could not be told new limits and keeps the old ones: `err`"},
	{WorkerKeysFailed, "a worker could not be given new certificates: `err`"},
	{WorkerPeersFailed, "a worker could not be given the inboxes of slot `of` and passes no connections to it (level debug): `err`"},
	{MessageRefused, "a worker sent what the master does not understand: `err`"},

	{WorkerRenewed, "a worker is to be replaced by one of the same generation: `reason`, `detail`"},
	{WorkerNotRenewed, "a worker that was to be replaced stays, because the new ones have failed: `reason`, `attempts`, `err`"},
	{WorkerTooLarge, "a worker that was replaced for its memory is as large again at once: the limit is too small for the application"},

	{WorkerOutput, "a line that a worker printed: `stream`, stdout or stderr; `partial` if the line goes on in the next one. Only in a log of the format JSON, not among the events"},
	{FrontOutput, "the same of the front"},
	{LogLinesLost, "`lines` are missing at this place of the log, because nobody read it in time. Only in a log of the format JSON, not among the events"},
	{SlotFailed, "the listeners of a slot cannot be made; the cluster goes on with the slots before it: `slot`, `err`"},
	{PacketRejected, "a connection that lies in an inbox could not be passed on, or what lay there was none (level debug): `err`"},

	{FrontStarted, "the process before the workers (dispatch passed or copied) was started (level debug)"},
	{FrontStartFailed, "the front's process could not be started: `err`"},
	{FrontReady, "the front serves: `took`"},
	{FrontKilled, "the front did not end in time, or did not get ready, and gets SIGKILL"},
	{FrontDied, "the front has ended by itself; the connections in its hands are lost: `status`"},
	{FrontLeft, "the front has ended with the cluster: `status`"},
	{FrontHopeless, "the front has ended each time before it was ready: the cluster ends"},

	{RestartBegun, "a rolling restart to `generation` begins"},
	{RestartRefused, "a rolling restart was asked for and nothing has changed: `err`"},
	{RestartDone, "every slot has a worker of `generation` that has settled: `took`"},
	{RestartFailed, "a new worker was not good, and the slots go back to `generation`: `reason`, `err`"},
	{RestartReturned, "every slot is back on `generation`"},

	{Scaled, "there are to be `to` workers instead of `from`"},
	{ScaleRefused, "another number of workers was asked for and nothing has changed: `err`"},

	{ScaleKept, "the load asks for more workers, and the machine has no room for them: `why`"},

	{ThreadsChanged, "each worker has `to` threads instead of `from`"},
	{LogLevelChanged, "the log shows `to` and above instead of `from`, until the next reload"},
	{ControlRefused, "another user's process was refused at the control socket: `uid`, `pid`"},
	{TokenReadable, "other users can read the file with the token of the metrics address: `path`"},
	{StatusPublic, "whoever reaches the metrics address can read the status: `metrics`"},
	{NotifyFailed, "the service manager (NOTIFY_SOCKET) cannot be told how the cluster is: `err`"},

	{MetricsConflict, "a metric of the application cannot be shown as a worker has it: `metric`, `reason`, `slot`"},
	{MetricsUnreadable, "a worker's copy of the application's metrics cannot be read: `slot`, `err`"},

	{HookFailed, "a command of on-ready, on-crash or on-restart has failed or could not be started: `hook`, `status` or `err`"},
	{HookKilled, "a command ran for longer than hook-timeout and gets SIGKILL: `hook`, `pid`"},
	{HookSkipped, "a command is not run for what happened last, because the cluster has ended: `hook`"},

	{ReloadDone, "a changed configuration was taken over: `live`, the settings in force at once, and `restart`, those that replace workers"},
	{ReloadPartly, "the same, but the settings in `kept` need a new start"},
	{ReloadUnchanged, "the configuration was read and nothing in it has changed"},
	{ReloadRefused, "the configuration is wrong and everything stays as it was; an event for each mistake: `err`"},
	{ReloadTakenBack, "the workers that were to see changed settings were not good, and the `settings` are as before"},
	{ReloadBackFailed, "settings could not be taken back: `err`"},

	{LogsReopened, "the log files were opened anew under their names"},
	{LogsReopenFailed, "a log file cannot be opened anew, and the old one is written: `err`"},
	{CertificatesRead, "changed certificates are in use: `why`, `expires`"},
	{CertificatesFailed, "certificates cannot be read, and the old ones stay in use: `err`"},
	{CertificateExpires, "a certificate expires soon, or has expired: `expires`"},

	{ConnectionsPassed, "connections were passed on that had been sent to a worker that has gone or is stalled: `connections`"},
	{ConnectionsClosed, "connections were closed because no worker was left to take them: `connections`"},

	{LimitsRead, "the limits of the system for this master (level debug): `files`, `files_max`, `core`, `core_pattern`"},
	{DescriptorsFew, "few connections fit under the limit of file descriptors: `limit`, `connections`, `wanted`"},
	{MeasuringOnly, "settings are in use that are for measuring only: `settings`"},
	{SocketsDiffer, "the sockets that systemd has given are not as the settings say"},
	{AddressHeld, "workers of a dead master hold an address, and their end is waited for: `err`"},
	{StacksWritten, "the stacks of the master's goroutines were written to the log: `stacks`"},
	{MasterBug, "the master has found a mistake of its own; please report it: `err`"},
	{EventsLost, "events were asked for too late and are not kept any more: `lost`"},
}
