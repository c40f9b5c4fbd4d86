package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"
)

// clients are open connections.
type clients []net.Conn

const (
	sources = 8 // addresses that clients come from, 127.0.0.2 and on: the ports of one would run out after some rounds
	busy    = 64
	// patience is how long an answer may take on a machine that is busy.
	patience = 30 * time.Second
)

// connect opens connections one after another, so that no listener's queue is too short. What was opened is returned with
// an error, too.
func connect(address string, n int) (clients, error) {
	var c clients
	for i := range n {
		d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%sources))}}
		nc, err := d.Dial("tcp", address)
		if err != nil {
			return c, fmt.Errorf("connection %d: %w", i+1, err)
		}
		c = append(c, nc)
	}
	return c, nil
}

// ask makes a request on every connection, some at a time.
func (c clients) ask() error {
	var wait sync.WaitGroup
	failed := make([]error, busy)
	for k := range busy {
		wait.Go(func() {
			for i := k; i < len(c) && failed[k] == nil; i += busy {
				if err := ask(c[i]); err != nil {
					failed[k] = fmt.Errorf("request on connection %d: %w", i+1, err)
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(failed...)
}

func ask(nc net.Conn) error {
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.Copy(nc, strings.NewReader("GET /plaintext HTTP/1.1\r\nHost: idle\r\n\r\n")); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || res.Close {
		return fmt.Errorf("the server answers %s, connection to be closed: %t", res.Status, res.Close)
	}
	return nil
}

func (c clients) close() {
	for _, nc := range c {
		nc.Close()
	}
}

// raiseLimit lets this process, and the servers, have a descriptor for each connection, and some for the rest.
func raiseLimit(connections int) error {
	need := uint64(connections) + 1000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur >= need {
		return nil
	}
	limit.Cur, limit.Max = need, max(limit.Max, need)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("cannot open %d files: %w: raise the limit (ulimit -n), or ask for fewer connections", need, err)
	}
	return nil
}
