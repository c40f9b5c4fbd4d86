package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/prefork/cluster/cmd/cluster/wording"
	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/api"
	"github.com/prefork/cluster/master/control"
	"github.com/prefork/cluster/master/plan"
)

// controlFlags say which cluster a command speaks to. Like those of start they are stronger than the file.
func controlFlags() []cli.Flag {
	flags := slices.DeleteFunc(settingFlags(), func(f cli.Flag) bool { return !slices.Contains(controlNames, f.Names()[0]) })
	for _, f := range flags {
		f.(*cli.StringFlag).Category = ""
	}
	return append(flags, configFlag())
}

var controlNames = []string{"name", "control"}

// client speaks HTTP and JSON over the control socket.
type client struct {
	path string
	file error // that of settings cannot be read, so it may name another cluster; nil: it can, or there is none
	http *http.Client
}

func newClient(c *cli.Context) *client { return newPatientClient(c, answerPatience) }

// newPatientClient is one that waits so long for the beginning of an answer.
func newPatientClient(c *cli.Context, patience time.Duration) *client {
	sources := configs.Sources{Flags: map[string][]string{}, Lookup: os.LookupEnv, File: c.String("config")}
	for _, name := range controlNames {
		sources.Flags[name] = []string{c.String(name)}
	}
	name, path, err := configs.ControlOf(sources)
	if path == "" {
		path = control.SocketPath(name)
	}
	client := dialClient(path, patience)
	client.file = err
	return client
}

// answerPatience is how long the beginning of an answer may take. Only stacks of workers take the master a moment.
const answerPatience = 10 * time.Second

func dialClient(path string, patience time.Duration) *client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: patience}).DialContext(ctx, "unix", path)
	}
	return &client{path: path, http: &http.Client{Transport: &http.Transport{DialContext: dial, ResponseHeaderTimeout: patience}}}
}

// call sends body as JSON and returns the answer's body, which the caller closes.
func (c *client) call(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	var data bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&data).Encode(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://cluster"+path, &data)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if res.StatusCode/100 == 2 {
		return res.Body, nil
	}
	defer res.Body.Close()
	var f api.Failure
	if json.NewDecoder(res.Body).Decode(&f) != nil || f.Error == "" {
		f.Error = "the master answers " + res.Status
	}
	return nil, &exitError{plan.ExitFailure, &refusal{res.StatusCode, wording.Text(f.Error)}} // it may quote a worker
}

// refusal is what the master says to a request that it understood and will not do.
type refusal struct {
	status int // of HTTP
	text   string
}

func (r *refusal) Error() string { return r.text }

func (c *client) explain(err error) error {
	var request *url.Error // its text has a URL that nobody has written
	if errors.As(err, &request) {
		err = request.Err
	}
	var slow net.Error
	switch {
	case errors.As(err, &slow) && slow.Timeout():
		return &exitError{plan.ExitFailure, fmt.Errorf("control socket %s: the master does not answer; it is stopped or starved of CPU", c.path)}
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &exitError{plan.ExitFailure, fmt.Errorf("control socket %s: the master has ended without an answer", c.path)}
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		err := fmt.Errorf("no cluster is running: nobody listens on %s (another one: --name or --control)", c.path)
		if c.file != nil {
			err = fmt.Errorf("%w; the file that may name another one cannot be read: %w", err, c.file)
		}
		return &exitError{plan.ExitNotRunning, err}
	case errors.Is(err, syscall.EINVAL):
		return &exitError{plan.ExitUsage, fmt.Errorf("control socket %s: the path has %d bytes, which is too long for a unix socket (--name, --control)", c.path, len(c.path))}
	case errors.Is(err, os.ErrPermission):
		return &exitError{plan.ExitFailure, fmt.Errorf("the control socket %s belongs to another user: run the command as that user", c.path)}
	}
	return &exitError{plan.ExitFailure, fmt.Errorf("control socket %s: %w", c.path, err)}
}

// get calls and decodes one JSON value.
func (c *client) get(ctx context.Context, method, path string, body, into any) error {
	answer, err := c.call(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if into == nil {
		_, err = io.Copy(io.Discard, answer)
	} else {
		err = json.NewDecoder(answer).Decode(into)
	}
	if err != nil {
		return &exitError{plan.ExitFailure, fmt.Errorf("the master's answer: %w", err)}
	}
	return nil
}
