package load

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	defaultTimeout = 10 * time.Second
	maxTimeout     = time.Hour
)

// checked is the plan with its defaults filled in, or what is wrong with it.
func (p Plan) checked() (Plan, error) {
	if p.Tool == "" {
		p.Tool = Builtin
	}
	if p.Timeout == 0 {
		p.Timeout = defaultTimeout
	}
	if p.Rate > 0 && p.Arrivals == "" {
		p.Arrivals = Poisson
	}
	for _, rule := range []struct {
		broken bool
		what   string
	}{
		{p.Tool != Builtin && p.Tool != Wrk && p.Tool != AB, fmt.Sprintf("no tool is called %q: take %s, %s or %s", p.Tool, Builtin, Wrk, AB)},
		{!strings.HasPrefix(p.Path, "/"), fmt.Sprintf("the path %q does not begin with a slash", p.Path)},
		{strings.ContainsFunc(p.Path, unfit), fmt.Sprintf("the path %q has characters that must be written as %%XX", p.Path)},
		{p.Connections < 1, fmt.Sprintf("%d connections: at least one is needed", p.Connections)},
		{p.Duration < 0 || p.Requests < 0 || p.Warmup < 0 || p.Body < 0, "duration, requests, warm-up and body cannot be negative"},
		{p.Duration == 0 && p.Requests == 0, "neither a duration nor a number of requests says when the load ends"},
		{p.Duration > 0 && p.Requests > 0, "a duration and a number of requests: only one of them can end the load"},
		{p.Timeout < time.Millisecond || p.Timeout > maxTimeout, fmt.Sprintf("a timeout of %s: it must be between 1 ms and %s", p.Timeout, maxTimeout)},
		{!(p.Rate >= 0 && p.Rate <= 1e9), fmt.Sprintf("a rate of %g requests a second: it must be between 0 and 1e9", p.Rate)},
		{p.Rate == 0 && p.Arrivals != "", "arrivals need a rate: a closed loop asks when it was answered"},
		{p.Rate == 0 && p.Service.Kind != "", "service times need a rate: only an open loop asks for them"},
		{p.Rate > 0 && p.Arrivals != Poisson && p.Arrivals != Constant, fmt.Sprintf("no arrivals %q: take %s or %s", p.Arrivals, Poisson, Constant)},
		{p.Rate > 0 && p.Tool != Builtin, fmt.Sprintf("%s knows only closed loops: leave the rate out, or take the tool %s", p.Tool, Builtin)},
	} {
		if rule.broken {
			return p, errors.New("impossible load: " + rule.what)
		}
	}
	if err := p.Service.check(); err != nil {
		return p, fmt.Errorf("impossible load: %w", err)
	}
	return p, nil
}

// unfit is true for what cannot stand in the first line of a request, and for a fragment, which is never sent.
func unfit(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }

func (s Service) check() error {
	switch s.Kind {
	case "":
		if s != (Service{}) {
			return errors.New("service times without a kind")
		}
		return nil
	case Fixed, Exponential, TwoPoint:
	default:
		return fmt.Errorf("there are no service times %q: take %s, %s or %s", s.Kind, Fixed, Exponential, TwoPoint)
	}
	if s.Mean <= 0 {
		return fmt.Errorf("%s service times need a positive mean", s.Kind)
	}
	if s.Kind != TwoPoint {
		return nil
	}
	if !(s.Share > 0 && s.Share < 1) {
		return fmt.Errorf("%s service times: the share %g is not between 0 and 1", s.Kind, s.Share)
	}
	if s.Long < 0 || s.short() < 0 {
		return fmt.Errorf("%s service times: with %g of the requests at %s the others would need %s to make a mean of %s",
			s.Kind, s.Share, s.Long, s.short(), s.Mean)
	}
	return nil
}

// short is the service time of the requests that do not take Long: (Mean − Share·Long) / (1 − Share).
func (s Service) short() time.Duration {
	return time.Duration((float64(s.Mean) - s.Share*float64(s.Long)) / (1 - s.Share))
}
