package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/prefork/cluster/worker"
)

// What both engines answer, byte for byte.
const (
	Plaintext = "Hello, World!"
	FrontPage = "cluster's reference application: /plaintext /10k /cpu /io /io_native /upload /pid /app /panic /exit\n"
	NoData    = "/app needs its data set: start with CLUSTER_DEMO_DATA=100MiB"
	NotFound  = "404 page not found"
	BadNumber = "n must be 0..45"
)

const (
	tenKilobytes = 10 << 10
	defaultFib   = 20
	defaultWait  = 5 * time.Millisecond
	maxWait      = time.Minute
	maxFib       = 45
)

// TenKilobytes is the body of /10k.
func TenKilobytes() []byte { return bytes.Repeat([]byte("0123456789abcdef"), tenKilobytes/16) }

// number is a query parameter as a number, or def if it is missing or none.
func number(value string, def int) int {
	n, err := strconv.Atoi(value)
	if err != nil {
		return def
	}
	return n
}

// CPU works for /cpu?n= and returns its answer; ok is false if n, which may be empty, is out of range.
func CPU(n string) (answer []byte, ok bool) {
	fib := number(n, defaultFib)
	if fib < 0 || fib > maxFib {
		return nil, false
	}
	return strconv.AppendInt(nil, int64(Fibonacci(fib)), 10), true
}

// Fibonacci is the usual recursive one: work that allocates nothing and cannot be done in parallel.
func Fibonacci(n int) int {
	if n < 2 {
		return n
	}
	return Fibonacci(n-1) + Fibonacci(n-2)
}

// Wait is how long /io?ms= waits: milliseconds, which may have decimals, at most a minute.
func Wait(ms string) time.Duration {
	n, err := strconv.ParseFloat(ms, 64)
	if err != nil || math.IsNaN(n) {
		return defaultWait
	}
	n = min(max(n, 0), float64(maxWait/time.Millisecond)) // before it is a Duration, which large numbers overflow
	return time.Duration(math.Round(n * float64(time.Millisecond)))
}

// Upload reads a body and returns what /upload says of it, or the error of the body.
func Upload(body io.Reader) (answer []byte, err error) {
	sum := sha256.New()
	n, err := io.Copy(sum, body)
	if err != nil {
		return nil, err
	}
	return line(map[string]any{"bytes": n, "sha256": hex.EncodeToString(sum.Sum(nil))}), nil
}

// Pid is the answer of /pid.
func Pid() []byte {
	return line(struct {
		PID int `json:"pid"`
		worker.Info
	}{os.Getpid(), worker.Self()})
}

func line(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // only numbers and strings come here
	}
	return append(text, '\n')
}

// Exit ends the process as /exit?code= wants it.
func Exit(code string) { os.Exit(number(code, 1)) }
