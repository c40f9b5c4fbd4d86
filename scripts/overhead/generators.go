package main

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// generator loads a server for a time and returns how many requests were answered. An answer that is no 2xx, and a
// connection that fails, is an error.
type generator func(url string, length time.Duration, connections int) (requests int, err error)

var wrkRequests = regexp.MustCompile(`(\d+) requests in`)

func wrk(url string, length time.Duration, connections int) (int, error) {
	out, err := run("wrk", "wrk", "-t", "1", "-c", strconv.Itoa(connections), "-d", seconds(length)+"s", url)
	if err != nil {
		return 0, err
	}
	if strings.Contains(out, "Socket errors") || strings.Contains(out, "Non-2xx") {
		return 0, fmt.Errorf("wrk saw errors:\n%s", out)
	}
	return number(wrkRequests, out)
}

// streams are requests at a time on an HTTP/2 connection.
const streams = 8

var (
	h2loadRequests = regexp.MustCompile(`(\d+) succeeded, 0 failed, 0 errored, 0 timeout`)
	h2loadProtocol = "Application protocol: h2\n"
)

func h2load(url string, length time.Duration, connections int) (int, error) {
	out, err := run("nghttp2-client", "h2load", "-t", "1", "-c", strconv.Itoa(connections), "-m", strconv.Itoa(streams), "-D", seconds(length), url)
	if err != nil {
		return 0, err
	}
	if !strings.Contains(out, h2loadProtocol) {
		return 0, fmt.Errorf("h2load did not speak HTTP/2:\n%s", out)
	}
	return number(h2loadRequests, out)
}

func run(debian string, words ...string) (string, error) {
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("%w: install the Debian package %s", err, debian)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", words[0], err, out)
	}
	return string(out), nil
}

// seconds rounds up: the generators know no parts of one.
func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }

func number(pattern *regexp.Regexp, out string) (int, error) {
	m := pattern.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("no number of requests, or failed ones, in:\n%s", out)
	}
	n, err := strconv.Atoi(m[1])
	if err == nil && n == 0 {
		err = errors.New("no request was answered")
	}
	return n, err
}
