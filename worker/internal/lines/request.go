package lines

import (
	"slices"
	"strconv"
	"time"
)

// What a request brings is cut to these lengths, in bytes as they stand in the log, quotes excluded. A client may send a
// path of a megabyte; and a whole line stays below what goes through a pipe in one piece.
const (
	maxMethod = 32
	maxPath   = 2 << 10
	maxRemote = 128
)

// secondsLayout is as long as what stands before the fraction of a second.
const secondsLayout = "2006-01-02T15:04:05"

// appendTime appends RFC 3339 with milliseconds, as log/slog's text has it. Package time is fast at RFC 3339 only.
func appendTime(buf []byte, t time.Time) []byte {
	end := len(buf) + len(secondsLayout)
	buf = t.AppendFormat(buf, time.RFC3339)
	ms := t.Nanosecond() / int(time.Millisecond)
	return slices.Insert(buf, end, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
}

// Request is one line of the access log.
type Request struct {
	Time   time.Time // when its head was complete
	Method string
	// Path is the URL's, decoded, without the query. nginx logs the query too; but queries carry what must not be kept,
	// such as tokens, addresses and what people search for, and no later step takes it out of a log again.
	Path       string
	Status     int
	Bytes      int64         // of the answer's body
	Duration   time.Duration // of the handler
	Wait       time.Duration // for a thread
	GC         time.Duration // CPU time of the garbage collector in the meantime, in the whole process: see GCClock
	Slot       int
	Generation int
	Remote     string // the client's address
}

// AppendText appends the request as key=value, as log/slog's TextHandler writes it, and a newline. A value with anything
// in it but printable characters, or with spaces, quotes or an equals sign, is quoted as in Go. What had to be cut ends
// in "…".
func (r *Request) AppendText(buf []byte) []byte {
	buf = append(buf, "time="...)
	buf = appendTime(buf, r.Time)
	buf = append(buf, " method="...)
	buf = appendValue(buf, r.Method, maxMethod)
	buf = append(buf, " path="...)
	buf = appendValue(buf, r.Path, maxPath)
	buf = append(buf, " status="...)
	buf = strconv.AppendInt(buf, int64(r.Status), 10)
	buf = append(buf, " bytes="...)
	buf = strconv.AppendInt(buf, r.Bytes, 10)
	buf = append(buf, " duration="...)
	buf = append(buf, r.Duration.String()...)
	buf = append(buf, " wait="...)
	buf = append(buf, r.Wait.String()...)
	buf = append(buf, " gc="...)
	buf = append(buf, r.GC.String()...)
	buf = append(buf, " slot="...)
	buf = strconv.AppendInt(buf, int64(r.Slot), 10)
	buf = append(buf, " generation="...)
	buf = strconv.AppendInt(buf, int64(r.Generation), 10)
	buf = append(buf, " remote="...)
	buf = appendValue(buf, r.Remote, maxRemote)
	return append(buf, '\n')
}

// AppendJSON appends the request as one JSON object and a newline, durations in seconds. What is not UTF-8 becomes U+FFFD,
// what does not print is escaped, and what had to be cut ends in "…".
func (r *Request) AppendJSON(buf []byte) []byte {
	buf = append(buf, `{"time":"`...)
	buf = appendTime(buf, r.Time)
	buf = append(buf, `","method":`...)
	buf = appendQuoted(buf, r.Method, maxMethod, jsonEscapes)
	buf = append(buf, `,"path":`...)
	buf = appendQuoted(buf, r.Path, maxPath, jsonEscapes)
	buf = append(buf, `,"status":`...)
	buf = strconv.AppendInt(buf, int64(r.Status), 10)
	buf = append(buf, `,"bytes":`...)
	buf = strconv.AppendInt(buf, r.Bytes, 10)
	buf = append(buf, `,"duration_seconds":`...)
	buf = appendSeconds(buf, r.Duration)
	buf = append(buf, `,"wait_seconds":`...)
	buf = appendSeconds(buf, r.Wait)
	buf = append(buf, `,"gc_seconds":`...)
	buf = appendSeconds(buf, r.GC)
	buf = append(buf, `,"slot":`...)
	buf = strconv.AppendInt(buf, int64(r.Slot), 10)
	buf = append(buf, `,"generation":`...)
	buf = strconv.AppendInt(buf, int64(r.Generation), 10)
	buf = append(buf, `,"remote":`...)
	buf = appendQuoted(buf, r.Remote, maxRemote, jsonEscapes)
	return append(buf, '}', '\n')
}

func appendSeconds(buf []byte, d time.Duration) []byte {
	return strconv.AppendFloat(buf, d.Seconds(), 'f', -1, 64)
}
