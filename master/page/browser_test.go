package page

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a browser on a busy machine may take for something. Nothing waits for so long unless it fails.
const patience = 30 * time.Second

// browser is a chromium that is told what to do over a pipe: the Chrome DevTools Protocol (chromedevtools.github.io/devtools-protocol),
// a JSON document and a NUL each way. A library for it would bring 56,000 lines.
type browser struct {
	in *os.File

	mu      sync.Mutex
	calls   int
	answers map[int]chan reply
	tabs    map[string]*tab // by session
	ended   chan struct{}
}

type reply struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

// newBrowser starts one that ends with the test.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CLUSTER_TEST_NO_SKIP") != "" {
			t.Fatal("chromium is not installed (apt-get install chromium), and CLUSTER_TEST_NO_SKIP is set")
		}
		t.Skip("chromium is not installed: apt-get install chromium")
	}
	hears, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, says, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--remote-debugging-pipe",
		"--user-data-dir="+filepath.Join(t.TempDir(), "profile"), "about:blank")
	cmd.ExtraFiles = []*os.File{hears, says} // 3 and 4, where it expects them
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hears.Close()
	says.Close()
	b := &browser{in: in, answers: map[int]chan reply{}, tabs: map[string]*tab{}, ended: make(chan struct{})}
	go b.listen(out)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		context.AfterFunc(ctx, func() {
			if ctx.Err() == context.DeadlineExceeded {
				cmd.Process.Kill()
			}
		})
		b.send("", "Browser.close", nil)
		cmd.Wait()
		in.Close()
		out.Close()
	})
	return b
}

// listen hands answers to those who wait for them, and notes what tabs tell.
func (b *browser) listen(out *os.File) {
	defer close(b.ended)
	messages := bufio.NewReaderSize(out, 1<<20)
	for {
		text, err := messages.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID        int
			SessionID string
			Method    string
			Params    json.RawMessage
			reply
		}
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		answer, tab := b.answers[m.ID], b.tabs[m.SessionID]
		delete(b.answers, m.ID)
		b.mu.Unlock()
		switch {
		case answer != nil:
			answer <- m.reply
		case tab != nil:
			tab.note(m.Method, m.Params)
		}
	}
}

func (b *browser) send(session, method string, params any) (chan reply, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	m := map[string]any{"id": b.calls, "method": method}
	if params != nil {
		m["params"] = params
	}
	if session != "" {
		m["sessionId"] = session
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	answer := make(chan reply, 1)
	b.answers[b.calls] = answer
	_, err = b.in.Write(append(text, 0))
	return answer, err
}

func (b *browser) call(t *testing.T, session, method string, params, result any) {
	t.Helper()
	answer, err := b.send(session, method, params)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	select {
	case r := <-answer:
		if r.Error != nil {
			t.Fatalf("%s: %s", method, r.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(r.Result, result); err != nil {
				t.Fatalf("%s: %v", method, err)
			}
		}
	case <-b.ended:
		t.Fatalf("%s: chromium has ended", method)
	case <-time.After(2 * patience):
		t.Fatalf("%s: no answer", method)
	}
}

// tab is one page, and what has been noted of it.
type tab struct {
	b       *browser
	session string

	mu       sync.Mutex
	console  []string // errors and warnings of the page
	failures []string // that the network tells of, such as a status of 401
	requests []*url.URL
}

type object = map[string]any

// open opens a page in a new tab, after script was run in it, and closes it at the end of the test.
func (b *browser) open(t *testing.T, address, script string) *tab {
	t.Helper()
	var target struct{ TargetID string }
	b.call(t, "", "Target.createTarget", object{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.call(t, "", "Target.attachToTarget", object{"targetId": target.TargetID, "flatten": true}, &session)
	p := &tab{b: b, session: session.SessionID}
	b.mu.Lock()
	b.tabs[p.session] = p
	b.mu.Unlock()
	t.Cleanup(func() { b.call(t, "", "Target.closeTarget", object{"targetId": target.TargetID}, nil) })
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.call(t, domain+".enable", nil, nil)
	}
	// What is in front of another tab draws, and its focus can be seen.
	p.call(t, "Page.bringToFront", nil, nil)
	p.call(t, "Emulation.setFocusEmulationEnabled", object{"enabled": true}, nil)
	p.call(t, "Page.addScriptToEvaluateOnNewDocument", object{"source": script}, nil)
	p.call(t, "Page.navigate", object{"url": address}, nil)
	return p
}

func (p *tab) call(t *testing.T, method string, params, result any) {
	t.Helper()
	p.b.call(t, p.session, method, params, result)
}

func (p *tab) note(method string, params json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var m struct {
		Type    string
		Args    json.RawMessage
		Request struct{ URL string }
		Entry   struct{ Source, Level, Text, URL string }
	}
	if json.Unmarshal(params, &m) != nil {
		return
	}
	switch method {
	case "Network.requestWillBeSent":
		if u, err := url.Parse(m.Request.URL); err == nil {
			p.requests = append(p.requests, u)
		}
	case "Runtime.exceptionThrown":
		p.console = append(p.console, string(params))
	case "Runtime.consoleAPICalled":
		p.console = append(p.console, m.Type+" "+string(m.Args))
	case "Log.entryAdded":
		if line := m.Entry.Level + " " + m.Entry.Text + " " + m.Entry.URL; m.Entry.Source == "network" {
			p.failures = append(p.failures, line)
		} else {
			p.console = append(p.console, line)
		}
	}
}

// clean fails the test if the page has asked another host, or if the console has a line. Failed requests are told there too, and
// are counted only if there should have been none.
func (p *tab) clean(t *testing.T, host string, failures bool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.requests) < 9 {
		t.Errorf("only %d requests were seen: %v", len(p.requests), p.requests)
	}
	for _, u := range p.requests {
		if u.Host != host {
			t.Errorf("the page has asked for %v", u)
		}
	}
	if len(p.console) > 0 || !failures && len(p.failures) > 0 {
		t.Errorf("on the console:\n%s\n%s", strings.Join(p.console, "\n"), strings.Join(p.failures, "\n"))
	}
}

// evaluate is the value of an expression, for which a promise is waited.
func evaluate[T any](t *testing.T, p *tab, expression string) T {
	t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Exception struct {
				Description string
				Value       any
			}
		}
	}
	p.call(t, "Runtime.evaluate", object{"expression": expression, "awaitPromise": true, "returnByValue": true}, &r)
	if e := r.ExceptionDetails; e != nil {
		t.Fatalf("%s: %s%v", expression, e.Exception.Description, e.Exception.Value)
	}
	var value T
	if len(r.Result.Value) > 0 {
		if err := json.Unmarshal(r.Result.Value, &value); err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
	}
	return value
}

// await waits until an expression is true. One that fails, since the page is not there yet, is not.
func (p *tab) await(t *testing.T, expression string) {
	t.Helper()
	evaluate[bool](t, p, fmt.Sprintf(`new Promise((found, missed) => {
		const end = Date.now() + %d;
		const is = () => {
			try {
				return %s;
			} catch {
				return false;
			}
		};
		const look = () => {
			if (is()) found(true);
			else if (Date.now() > end) missed("it did not come to be; the page says:\n" + document.body.innerText);
			else requestAnimationFrame(look);
		};
		look();
	})`, patience.Milliseconds(), expression))
}

// press presses and releases a key: Tab, Enter or Space.
func (p *tab) press(t *testing.T, key string) {
	t.Helper()
	is := map[string]struct {
		key, text string
		code      int
	}{"Tab": {"Tab", "", 9}, "Enter": {"Enter", "\r", 13}, "Space": {" ", " ", 32}}[key]
	event := object{"type": "keyDown", "key": is.key, "code": key, "windowsVirtualKeyCode": is.code, "text": is.text}
	p.call(t, "Input.dispatchKeyEvent", event, nil)
	event["type"], event["text"] = "keyUp", ""
	p.call(t, "Input.dispatchKeyEvent", event, nil)
}

// size makes the window so large, as a phone's if it is mobile.
func (p *tab) size(t *testing.T, width, height int, scale float64, mobile bool) {
	t.Helper()
	p.call(t, "Emulation.setDeviceMetricsOverride", object{"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}, nil)
}

// prefer sets what the reader prefers: prefers-color-scheme, prefers-reduced-motion.
func (p *tab) prefer(t *testing.T, feature, value string) {
	t.Helper()
	p.call(t, "Emulation.setEmulatedMedia", object{"features": []object{{"name": feature, "value": value}}}, nil)
}

// picture is the window as PNG.
func (p *tab) picture(t *testing.T) []byte {
	t.Helper()
	var shot struct{ Data string }
	p.call(t, "Page.captureScreenshot", object{"format": "png", "optimizeForSpeed": false}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		t.Fatal(err)
	}
	return png
}
