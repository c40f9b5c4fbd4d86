// Package echo is the application that the clients of package verify ask, as a program of a cluster on either engine.
//
// Invariant: an answer is made of its request alone, so that bytes that went astray show in it.
package echo

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prefork/cluster/internal/verify"
	"github.com/prefork/cluster/worker"
)

// slot is that of this worker.
var slot atomic.Int64

func noteSlot(i worker.Info) error {
	slot.Store(int64(i.Slot))
	return nil
}

// who are the headers of every answer.
func who(id string, set func(key, value string)) {
	set(verify.HeaderID, id)
	set(verify.HeaderPID, strconv.Itoa(os.Getpid()))
	set(verify.HeaderSlot, strconv.FormatInt(slot.Load(), 10))
}

func sum(body []byte) string {
	s := sha256.Sum256(body)
	return hex.EncodeToString(s[:])
}

// ServeNetHTTP serves on net/http, HTTP/2 with prior knowledge included, as worker.Serve does.
func ServeNetHTTP() error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return worker.ServeServer(&http.Server{Handler: http.HandlerFunc(NetHTTP), Protocols: &protocols}, worker.OnBoot(noteSlot))
}

// NetHTTP is the application on net/http.
func NetHTTP(w http.ResponseWriter, r *http.Request) {
	if id, upgrade := strings.CutPrefix(r.URL.Path, verify.UpgradePath); upgrade {
		frames(w, id)
		return
	}
	ask, err := verify.ParseAsk(r.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil { // the client has left
		panic(http.ErrAbortHandler)
	}
	time.Sleep(ask.Wait)
	who(ask.ID, w.Header().Set)
	w.Header().Set(verify.HeaderSum, sum(body))
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.Method == http.MethodGet {
		body = verify.Pattern(ask.ID, ask.Answer)
	}
	if !ask.Stream {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
		return
	}
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush() // that the client has left shows in the next write, to nobody
	_, _ = w.Write(body[len(body)/2:])
}

// frames changes the protocol.
func frames(w http.ResponseWriter, id string) {
	nc, both, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusHTTPVersionNotSupported)
		return
	}
	defer nc.Close()
	head := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + verify.Protocol + "\r\n"
	who(id, func(key, value string) { head += key + ": " + value + "\r\n" })
	if _, err := io.WriteString(nc, head+"\r\n"); err != nil {
		return
	}
	echoFrames(both.Reader, nc)
}

// echoFrames sends frames back until one is empty or the client has left.
func echoFrames(in *bufio.Reader, out io.Writer) {
	for {
		var length [4]byte
		if _, err := io.ReadFull(in, length[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(length[:])
		if n > verify.MaxFrame {
			fmt.Fprintf(os.Stderr, "echo: a frame of %d bytes, more than %d\n", n, verify.MaxFrame)
			return
		}
		frame := append(length[:], make([]byte, n)...)
		if _, err := io.ReadFull(in, frame[4:]); err != nil {
			return
		}
		if _, err := out.Write(frame); err != nil || n == 0 {
			return
		}
	}
}
