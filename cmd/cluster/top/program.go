package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
)

// requestPatience is how long the master may take for all that one request is, its answer's body included.
const requestPatience = 10 * time.Second

// framesPerSecond is quick enough for keys, and kind to a slow line.
const framesPerSecond = 20

// Once writes the cluster as it is now: all workers, in lines as long as they need to be if cells is 0.
func Once(ctx context.Context, c Cluster, w io.Writer, k Look, cells int) error {
	first := begin(ctx, c)
	if first.err != nil {
		return first.err
	}
	m := newModel(k, time.Second, time.Now(), first)
	m.width = cells
	_, err := fmt.Fprintln(w, strings.Join(m.screen(), "\n"))
	return err
}

// Run shows the cluster on the terminal that is standard output, asks again after each interval, and returns when the user
// quits. A cluster that does not answer the first time is an error, later it is waited for.
func Run(ctx context.Context, c Cluster, k Look, interval time.Duration) error {
	first := begin(ctx, c)
	if first.status == nil {
		return first.err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	profile := colorprofile.ASCII
	if k.Colour {
		profile = colorprofile.ANSI
	}
	p := &program{ctx: ctx, cluster: c, model: newModel(k, interval, time.Now(), first)}
	_, err := tea.NewProgram(p, tea.WithContext(ctx), tea.WithFPS(framesPerSecond), tea.WithColorProfile(profile)).Run()
	if err != nil && !errors.Is(err, tea.ErrInterrupted) {
		return fmt.Errorf("the terminal cannot be used: %w (--once needs none)", err)
	}
	return nil
}

// begin asks for the first time, before the terminal is touched: Ctrl-C is the signal that it always is.
func begin(ctx context.Context, c Cluster) answer {
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	return perform(ctx, c, request{})
}

// program is the model as package bubbletea runs it: it adds the time, the screen and the goroutine of a request.
type program struct {
	ctx     context.Context
	cluster Cluster
	model   *model
}

type tick time.Time

func (p *program) tick() tea.Cmd {
	return tea.Tick(min(p.model.interval, time.Second/2), func(t time.Time) tea.Msg { return tick(t) })
}

func (p *program) Init() tea.Cmd { return p.tick() }

func (p *program) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	m := p.model
	m.now = time.Now()
	var next tea.Cmd
	switch msg := msg.(type) {
	case tick:
		next = p.tick()
	case tea.WindowSizeMsg:
		m.width, m.height = max(1, msg.Width), max(1, msg.Height)
	case tea.KeyPressMsg:
		if msg.String() == "ctrl+z" {
			return p, tea.Suspend
		}
		m.key(msg.String())
	case answer:
		m.take(msg)
	}
	if m.quit {
		return p, tea.Quit
	}
	if r := m.ask(); r != nil {
		return p, tea.Batch(next, func() tea.Msg {
			ctx, cancel := context.WithTimeout(p.ctx, requestPatience)
			defer cancel()
			return perform(ctx, p.cluster, *r)
		})
	}
	return p, next
}

func (p *program) View() tea.View {
	v := tea.NewView(strings.Join(p.model.screen(), "\n"))
	v.AltScreen = true
	return v
}
