package logs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/prefork/cluster/master/journal"
)

// atOnce is how many bytes of short lines go into one write: the kernel keeps those whole on a pipe (PIPE_BUF, pipe(7)), which
// the access log may write to as well.
const atOnce = 4096

// Between the title of a process and its line.
const (
	whole  = " | "
	goesOn = " + " // the line is too long and goes on in the next one
	note   = " ! " // not of the process: the master says something about its lines
)

// printer makes lines of chunks. Only the goroutine that writes has it.
type printer struct {
	file *os.File
	json bool
	buf  []byte // whole lines
}

// record is a line in the format json, with the names that log/slog gives its own.
type record struct {
	Time       time.Time `json:"time"`
	Level      string    `json:"level"`
	Event      string    `json:"event"`
	Slot       any       `json:"slot,omitempty"`
	Generation int       `json:"generation,omitempty"`
	Stream     string    `json:"stream,omitempty"`
	Partial    bool      `json:"partial,omitempty"`
	Lines      int       `json:"lines,omitempty"`
	Message    string    `json:"msg"`
}

func (p *printer) print(c chunk) {
	origin := c.source.origin
	if c.lost > 0 {
		text := fmt.Sprintf("%d log lines were dropped: nobody read the log", c.lost)
		p.line(c, record{Level: "WARN", Event: journal.LogLinesLost, Lines: c.lost, Message: text}, note, []byte(text))
	}
	if origin.Event == "" { // the master's
		start := len(p.buf)
		p.buf = append(p.buf, c.text...)
		p.added(start)
		return
	}
	separator := whole
	if c.partial {
		separator = goesOn
	}
	for rest := c.text; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		r := record{Level: "INFO", Event: origin.Event, Stream: c.stream, Partial: c.partial}
		if p.json {
			r.Message = string(line)
		}
		p.line(c, r, separator, line)
	}
}

// line adds one line: the record, or in the format text the title of the process, a separator and the text.
func (p *printer) line(c chunk, r record, separator string, text []byte) {
	origin, start := c.source.origin, len(p.buf)
	if p.json {
		r.Time, r.Slot, r.Generation = c.at, origin.Slot, origin.Generation
		var line bytes.Buffer
		e := json.NewEncoder(&line)
		e.SetEscapeHTML(false)
		_ = e.Encode(r) // of texts and numbers; it ends the line
		p.buf = append(p.buf, line.Bytes()...)
	} else {
		if origin.Title != "" {
			p.buf = append(append(p.buf, origin.Title...), separator...)
		}
		p.buf = append(append(p.buf, text...), '\n')
	}
	p.added(start)
}

// added writes what does not fit into one write. A line was added at start.
func (p *printer) added(start int) {
	if len(p.buf) <= atOnce {
		return
	}
	last := p.buf[start:]
	p.buf = p.buf[:start]
	p.flush()
	p.buf = append(p.buf, last...)
	if len(last) > atOnce {
		p.flush()
		p.buf = nil // it may have been very long
	}
}

func (p *printer) flush() {
	if len(p.buf) > 0 {
		_, _ = p.file.Write(p.buf)
		p.buf = p.buf[:0]
	}
}
