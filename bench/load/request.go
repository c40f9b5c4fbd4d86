package load

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// request is one that is to be sent, or was.
type request struct {
	at      time.Duration // since the beginning of the load: sent (closed loop), or to be sent (open loop)
	service time.Duration // asked for
	counted bool          // not of the warm-up
}

// text composes what is written for a request. Without service times all requests are the same bytes.
type text struct {
	same          []byte // head and body
	before, after []byte // what stands around the service time; nil without
	body          []byte
}

func newText(p Plan, host string) text {
	method, path, fields := "GET", p.Path, "Host: "+host+"\r\n"
	if p.Body > 0 {
		method = "POST"
		fields += fmt.Sprintf("Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", p.Body)
	}
	if p.Fresh {
		fields += "Connection: close\r\n"
	}
	body := bytes.Repeat([]byte("x"), p.Body)
	after := " HTTP/1.1\r\n" + fields + "\r\n"
	if p.Service.Kind == "" {
		return text{same: append([]byte(method+" "+path+after), body...)}
	}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return text{before: []byte(method + " " + path + separator + "ms="), after: []byte(after), body: body}
}

// compose is what is to be written: one part after the other. The first may use the space of own.
func (t *text) compose(own []byte, service time.Duration) (first, second []byte) {
	if t.before == nil {
		return t.same, nil
	}
	own = append(own[:0], t.before...)
	own = appendMillis(own, service)
	return append(own, t.after...), t.body
}

// appendMillis writes whole microseconds as milliseconds with three decimals, such as 4.732.
func appendMillis(b []byte, d time.Duration) []byte {
	micros := d.Microseconds()
	b = strconv.AppendInt(b, micros/1000, 10)
	rest := micros % 1000
	return append(b, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
}
