package plan

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/prefork/cluster/ipc"
)

// seated is a cluster of one slot whose first seat is in a state, reached by triggers alone.
func seated(t *testing.T, state State) (*Cluster, SeatID, time.Time) {
	t.Helper()
	c := settings()
	c.Workers = 1
	s, now := New(c, epoch), epoch.Add(time.Minute)
	id := SeatID{Spawn: 1}
	way := map[State][]Trigger{
		Empty:    nil,
		Starting: {WasSpawned},
		Ready:    {WasSpawned, SaidHello, SaidReady},
		Draining: {WasSpawned, SaidHello, SaidReady, DrainAsked},
		Waiting:  {WasSpawned, HasExited},
	}[state]
	for _, trigger := range way {
		if err := s.Trigger(id, trigger, happening(1), now); err != nil {
			t.Fatal(err)
		}
	}
	if k := s.At(id); k.State != state {
		t.Fatalf("%v leads to %v, not to %v", way, k.State, state)
	}
	if state == Ready {
		s.At(id).Settled = true
		s.At(id).Adopted[5] = true
	}
	return s, id, now
}

// happening has something to say to every trigger.
func happening(spawn uint64) Happening {
	return Happening{Spawn: spawn, PID: 100 + int(spawn), Generation: 1, Protocol: ipc.Spoken, Reason: Scale, Detail: "why", Status: ExitStatus{Code: 3}, Open: 7}
}

// effects says what each effect does, besides the state of the seat.
var effects = map[effect]func(was Seat, sl *Slot, k *Seat, now time.Time) bool{
	none: func(was Seat, _ *Slot, k *Seat, _ time.Time) bool {
		return reflect.DeepEqual(was, *k)
	},
	occupy: func(_ Seat, _ *Slot, k *Seat, now time.Time) bool {
		return reflect.DeepEqual(*k, Seat{State: Starting, Spawn: 2, PID: 102, Generation: 1, Since: now, SpawnedAt: now, Adopted: map[int]bool{}})
	},
	failToSpawn: func(_ Seat, sl *Slot, k *Seat, now time.Time) bool {
		return k.Spawn == 2 && k.PID == 0 && !k.Until.Before(now) && sl.Left[BootExit] > 0 && sl.Boots == sl.Failures && sl.Boots > 0 && last(sl.Deaths).Detail == "why"
	},
	greet: func(was Seat, _ *Slot, k *Seat, _ time.Time) bool {
		return reflect.DeepEqual(was, *k)
	},
	becomeReady: func(_ Seat, sl *Slot, k *Seat, now time.Time) bool {
		return k.ReadyAt.Equal(now) && !k.Settled && sl.Boots == 0
	},
	acknowledge: func(was Seat, _ *Slot, k *Seat, _ time.Time) bool {
		was.Acked = true
		return reflect.DeepEqual(was, *k)
	},
	leaveItself: func(was Seat, _ *Slot, k *Seat, now time.Time) bool {
		return k.Acked && !k.Asked && k.Rung == 1 && len(k.ladder) == 3 && k.ladderFrom.Equal(now) && len(k.Adopted) == 0 &&
			k.Reason == map[State]Reason{Starting: BootExit, Ready: Signal}[was.State]
	},
	vacate: func(was Seat, sl *Slot, k *Seat, now time.Time) bool {
		want := map[State]Reason{Starting: BootExit, Ready: Crash, Draining: Scale}[was.State]
		return reflect.DeepEqual(*k, Seat{State: k.State, Spawn: 1, Since: now, Until: k.Until}) && sl.Left[want] == 1 && len(sl.Deaths) == 1
	},
	climb: func(was Seat, _ *Slot, k *Seat, now time.Time) bool {
		return k.Asked && k.Acked == was.ReadyAt.IsZero() && k.Reason == Scale && k.Detail == "why" && k.Rung == 0 && len(k.ladder) == 3 && k.ladderFrom.Equal(now) && len(k.Adopted) == 0
	},
	execute: func(was Seat, _ *Slot, k *Seat, now time.Time) bool {
		return k.Asked && k.Acked == was.ReadyAt.IsZero() && k.Reason == Scale && k.Rung == 0 && len(k.ladder) == 2 && k.ladderFrom.Equal(now) && len(k.Adopted) == 0
	},
}

func last(deaths []Death) Death { return deaths[len(deaths)-1] }

func TestTable(t *testing.T) {
	for state := range State(states) {
		for trigger := range Trigger(triggers) {
			t.Run(fmt.Sprintf("%v/%v", state, trigger), func(t *testing.T) {
				cell := table[state][trigger]
				if cell.effect == undefined {
					t.Fatal("the cell is not defined")
				}
				s, id, now := seated(t, state)
				before, later := s.clone(), now.Add(time.Second)
				was := *before.At(id)
				err := s.Trigger(id, trigger, happening(2), later)
				if cell.effect == impossible {
					if err == nil || !reflect.DeepEqual(before, s) || cell.next != state {
						t.Fatalf("an impossible cell: error %v, and\n%+v became\n%+v", err, before, s)
					}
					return
				}
				k := s.At(id)
				if err != nil || k.State != cell.next {
					t.Fatalf("error %v, %v; want %v", err, k.State, cell.next)
				}
				if since := map[bool]time.Time{true: was.Since, false: later}[cell.next == state && cell.effect != failToSpawn]; !k.Since.Equal(since) {
					t.Errorf("in its state since %v, want %v", k.Since, since)
				}
				check := effects[cell.effect]
				if check == nil {
					t.Fatalf("no check for effect %d", cell.effect)
				}
				if !check(was, &s.Slots[0], k, later) {
					t.Errorf("the effect is not what it says:\n%+v became\n%+v in\n%+v", was, k, s.Slots[0])
				}
			})
		}
	}
}

// The next state of a seat that is left depends on why.
func TestTableWhoFailedIsWaitedFor(t *testing.T) {
	s, id, now := seated(t, Ready)
	if err := s.condemn(id, Heartbeat, "silent", now, now); err != nil {
		t.Fatal(err)
	}
	if err := s.Trigger(id, HasExited, Happening{}, now); err != nil {
		t.Fatal(err)
	}
	if k := s.At(id); k.State != Waiting || s.Slots[0].Left[Heartbeat] != 1 {
		t.Errorf("%+v after a death by heartbeat", k)
	}
}

func TestTableForeignProtocol(t *testing.T) {
	s, id, now := seated(t, Starting)
	if err := s.Trigger(id, SaidHello, Happening{Protocol: ipc.Protocol{Min: 8, Max: 9}}, now); err != nil {
		t.Fatal(err)
	}
	if k := s.At(id); k.State != Draining || k.Reason != BootExit || len(k.ladder) != 2 {
		t.Errorf("%+v: it shares no protocol and is not condemned", k)
	}
}

func TestTableNames(t *testing.T) {
	names := map[string]bool{}
	for state := range State(states) {
		names["is "+state.String()] = true
	}
	for trigger := range Trigger(triggers) {
		names["was "+trigger.String()] = true
	}
	if len(names) != states+triggers || names["is "] || names["was "] {
		t.Errorf("names are missing or used twice: %v", names)
	}
}

// A message or an exit of a worker that has left does not reach its successor.
func TestCurrent(t *testing.T) {
	s, id, now := seated(t, Ready)
	if s.Current(id) == nil || s.Current(SeatID{Spawn: 2}) != nil || s.Current(SeatID{Side: 1, Spawn: 1}) != nil || s.Current(SeatID{Slot: 9, Spawn: 1}) != nil {
		t.Error("only the worker itself is current")
	}
	if err := s.Trigger(id, HasExited, Happening{}, now); err != nil {
		t.Fatal(err)
	}
	if s.Current(id) != nil {
		t.Error("a dead worker is current")
	}
	if id := (SeatID{Slot: 3, Side: 1}); id.Seat() != 7 {
		t.Errorf("%+v is seat %d", id, id.Seat())
	}
}
