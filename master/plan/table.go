package plan

// State is the state of one seat of a slot.
type State int

// The states of a seat.
const (
	Empty    State = iota // nobody sits here
	Starting              // spawned, not ready yet
	Ready                 // accepts connections
	Draining              // told to leave, or condemned; accepts nothing
	Waiting               // empty after a failure: the slot is not refilled before the backoff is over
	states   = iota
)

func (s State) String() string {
	return [states]string{"empty", "starting", "ready", "draining", "waiting"}[s]
}

// Trigger is what can happen to a seat.
type Trigger int

const (
	WasSpawned   Trigger = iota // a worker was started
	SpawnFailed                 // it could not be started
	SaidHello                   // it said which protocol it speaks
	SaidReady                   // it accepts
	SaidDraining                // it has stopped accepting
	HasExited                   // it is dead and reaped
	DrainAsked                  // the master tells it to drain
	Condemned                   // the master will kill it
	triggers     = iota
)

func (t Trigger) String() string {
	return [triggers]string{"spawned", "spawn failed", "hello", "ready", "draining", "exited", "drain asked", "condemned"}[t]
}

// transition says where a trigger takes a seat, and what else is done.
type transition struct {
	next   State
	effect effect
}

type effect int

const (
	undefined   effect = iota // an empty cell: it fails the test of the table
	none                      // only the state changes, if at all
	occupy                    // note the process, start the boot clock
	failToSpawn               // as if a worker had died before ready
	greet                     // check that a protocol version is shared
	becomeReady               // start the settle clock
	acknowledge               // the worker accepts no more
	leaveItself               // it drains of its own accord: somebody sent it a SIGTERM
	vacate                    // the worker is gone: why, what does it mean for the slot and for a restart
	climb                     // start the ladder of the drain
	execute                   // start the ladder of the kill
	impossible                // cannot happen while the master is right: it is logged as a bug and changes nothing
)

// table is states × triggers. Messages and exits carry the spawn number they belong to; a stale one is dropped before it
// gets here, so an Empty or Waiting seat hears nothing from a process.
var table = [states][triggers]transition{
	Empty: {
		WasSpawned:   {Starting, occupy},
		SpawnFailed:  {Waiting, failToSpawn},
		SaidHello:    {Empty, impossible},
		SaidReady:    {Empty, impossible},
		SaidDraining: {Empty, impossible},
		HasExited:    {Empty, impossible},
		DrainAsked:   {Empty, impossible},
		Condemned:    {Empty, impossible},
	},
	Starting: {
		WasSpawned:   {Starting, impossible},
		SpawnFailed:  {Starting, impossible},
		SaidHello:    {Starting, greet},
		SaidReady:    {Ready, becomeReady},
		SaidDraining: {Draining, leaveItself},
		HasExited:    {Waiting, vacate},
		DrainAsked:   {Draining, climb},
		Condemned:    {Draining, execute},
	},
	Ready: {
		WasSpawned:   {Ready, impossible},
		SpawnFailed:  {Ready, impossible},
		SaidHello:    {Ready, none},
		SaidReady:    {Ready, none},
		SaidDraining: {Draining, leaveItself},
		HasExited:    {Waiting, vacate},
		DrainAsked:   {Draining, climb},
		Condemned:    {Draining, execute},
	},
	Draining: {
		WasSpawned:   {Draining, impossible},
		SpawnFailed:  {Draining, impossible},
		SaidHello:    {Draining, none},
		SaidReady:    {Draining, none}, // it was told to drain while it booted
		SaidDraining: {Draining, acknowledge},
		HasExited:    {Empty, vacate},
		DrainAsked:   {Draining, none},
		Condemned:    {Draining, execute},
	},
	Waiting: {
		WasSpawned:   {Starting, occupy},
		SpawnFailed:  {Waiting, failToSpawn},
		SaidHello:    {Waiting, impossible},
		SaidReady:    {Waiting, impossible},
		SaidDraining: {Waiting, impossible},
		HasExited:    {Waiting, impossible},
		DrainAsked:   {Waiting, impossible},
		Condemned:    {Waiting, impossible},
	},
}
