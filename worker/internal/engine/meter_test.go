package engine

import (
	"fmt"
	"strings"
	"testing"
)

// However an answer is cut, its body has as many bytes.
func TestMeter(t *testing.T) {
	long := strings.Repeat("Long: "+strings.Repeat("x", 100)+"\r\n", 100)
	for _, x := range []struct {
		name, text string
		want       int64
	}{
		{"no body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0},
		{"a body like a head", "HTTP/1.1 200 OK\r\nA: b\r\n\r\nc\r\n\r\nd", 6},
		{"no fields", "HTTP/1.1 200 OK\r\n\r\nabc", 3},
		{"a long head", "HTTP/1.1 200 OK\r\n" + long + "\r\nabc", 3},
		{"no chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
		{"chunks", "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\nC: d\r\n\r\n5\r\n\r\n0\r\n\r\n1a\r\n" + strings.Repeat("x", 26) + "\r\n0\r\n\r\n", 31},
		{"chunks in a long head", "HTTP/1.1 200 OK\r\n" + long + "Transfer-Encoding: chunked\r\n\r\n100\r\n" + strings.Repeat("1", 256) + "\r\n0\r\n\r\n", 256},
		{"trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: 3\r\nxxx\r\n\r\n", 1},
		{"not its own head's", "HTTP/1.1 200 OK\r\nX-Transfer-Encoding: chunked\r\n\r\n1\r\n", 3},
	} {
		for _, size := range []int{1, 2, 3, 7, 4096, len(x.text)} {
			t.Run(fmt.Sprint(x.name, " ", size), func(t *testing.T) {
				var m Meter
				var n int64
				for rest := x.text; rest != ""; {
					piece := rest[:min(size, len(rest))]
					n += m.Body([]byte(piece))
					rest = rest[len(piece):]
				}
				if n != x.want {
					t.Errorf("%d bytes, want %d", n, x.want)
				}
			})
		}
	}
}
