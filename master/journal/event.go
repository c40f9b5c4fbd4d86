package journal

import "time"

// Event is one thing that happened: a record of the master's log that has a name.
type Event struct {
	ID      uint64         `json:"id"` // rises by one with each event of this master, from 1
	Time    time.Time      `json:"time"`
	Level   string         `json:"level"`            // debug, info, warn or error
	Name    string         `json:"event"`            // one of Names; docs/events.md has them all
	Message string         `json:"message"`          // for a person
	Fields  map[string]any `json:"fields,omitempty"` // slot, seat, pid, generation, reason, err … as in the log
}

// Output is the value of a field that an event has and the log's line has not: the last lines that a worker wrote, which
// are in the log already.
type Output []string

const (
	maxText  = 4 << 10 // bytes of a field, or of a message
	maxLines = 20      // of Output
	maxLine  = 1 << 10 // bytes of one of them
)

// cost is roughly how many bytes an event takes in memory.
func (e *Event) cost() int {
	n := 256 + len(e.Message)
	for key, value := range e.Fields {
		n += 64 + len(key)
		switch v := value.(type) {
		case string:
			n += len(v)
		case []string:
			for _, line := range v {
				n += 16 + len(line)
			}
		}
	}
	return n
}
