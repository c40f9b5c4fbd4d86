package ipc

import (
	"encoding/json"
	"testing"
)

func TestProtocolCommon(t *testing.T) {
	tests := []struct {
		name    string
		p, q    Protocol
		version int // 0: none in common
	}{
		{"the same", Protocol{1, 1}, Protocol{1, 1}, 1},
		{"the newest of both", Protocol{1, 3}, Protocol{1, 3}, 3},
		{"one is newer", Protocol{1, 2}, Protocol{1, 5}, 2},
		{"overlap", Protocol{1, 3}, Protocol{2, 5}, 3},
		{"overlap in one", Protocol{1, 3}, Protocol{3, 5}, 3},
		{"one inside the other", Protocol{1, 9}, Protocol{4, 5}, 5},
		{"neighbours", Protocol{1, 2}, Protocol{3, 4}, 0},
		{"far apart", Protocol{1, 1}, Protocol{7, 9}, 0},
		{"no hello fields", Protocol{1, 1}, Protocol{}, 0},
		{"neither", Protocol{}, Protocol{}, 0},
		{"negative", Protocol{-3, -1}, Protocol{-2, -1}, 0},
		{"upside down", Protocol{3, 1}, Protocol{1, 3}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, order := range [][2]Protocol{{tt.p, tt.q}, {tt.q, tt.p}} {
				version, ok := order[0].Common(order[1])
				if ok != (tt.version != 0) || ok && version != tt.version {
					t.Errorf("%s and %s: %d, %v; want %d", order[0], order[1], version, ok, tt.version)
				}
			}
		})
	}
}

func TestSpoken(t *testing.T) {
	if v, ok := Spoken.Common(Spoken); !ok || v != Spoken.Max {
		t.Errorf("this build does not understand itself: %d, %v", v, ok)
	}
	if s := (Protocol{Min: 1, Max: 12}).String(); s != "1..12" {
		t.Errorf("String() = %q", s)
	}
}

// The names on the wire are fixed: a master and a worker of different ages read each other's messages.
func TestMessageWireFormat(t *testing.T) {
	tests := []struct {
		m    Message
		wire string
	}{
		{Message{Type: Hello, ProtocolMin: 1, ProtocolMax: 2}, `{"type":"hello","protocol_min":1,"protocol_max":2}`},
		{Message{Type: Ready}, `{"type":"ready"}`},
		{Message{Type: Draining}, `{"type":"draining"}`},
		{Message{Type: Bye, Left: 3}, `{"type":"bye","left":3}`},
		{Message{Type: Drain, Final: true}, `{"type":"drain","final":true}`},
		{Message{Type: Adopt, Slot: 2, Bind: 1}, `{"type":"adopt","slot":2,"bind":1}`},
		{Message{Type: Adopt}, `{"type":"adopt"}`},
		{Message{Type: Release, Slot: 2}, `{"type":"release","slot":2}`},
		{Message{Type: ReopenLogs}, `{"type":"reopen-logs"}`},
		{Message{Type: Stacks, ID: 9}, `{"type":"stacks","id":9}`},
		{Message{Type: Error, Text: "why"}, `{"type":"error","text":"why"}`},
	}
	for _, tt := range tests {
		data, err := json.Marshal(tt.m)
		if err != nil || string(data) != tt.wire {
			t.Errorf("%+v is sent as %s (%v), want %s", tt.m, data, err, tt.wire)
		}
		if m, err := decode([]byte(tt.wire), 0); err != nil || m != tt.m {
			t.Errorf("%s is read as %+v (%v), want %+v", tt.wire, m, err, tt.m)
		}
	}
}
