package load

import (
	"math"
	"math/rand/v2"
	"time"
)

// schedule says when the requests of an open loop are to be sent and how long the server is asked to wait in each. It
// knows no clock: the same plan gives the same schedule. Arrivals and service times have random numbers of their own, so
// that a change of one leaves the other as it was.
type schedule struct {
	gap      float64 // mean, in ns
	constant bool
	number   int64   // of arrivals given out
	last     float64 // the last arrival, in ns
	gaps     *rand.Rand
	times    *rand.Rand
	service  Service
}

func newSchedule(p Plan) *schedule {
	return &schedule{
		gap:      float64(time.Second) / p.Rate,
		constant: p.Arrivals == Constant,
		gaps:     rand.New(rand.NewPCG(p.Seed, 1)),
		times:    rand.New(rand.NewPCG(p.Seed, 2)),
		service:  p.Service,
	}
}

// next is the next arrival, since the beginning of the load. Constant arrivals begin at 0 and are multiples of the
// interval, so that no rounding adds up; the gaps of a Poisson process are exponentially distributed.
func (s *schedule) next() (at, service time.Duration) {
	if s.constant {
		s.last = float64(s.number) * s.gap
	} else {
		s.last += s.gaps.ExpFloat64() * s.gap
	}
	s.number++
	return time.Duration(math.Round(s.last)), s.draw()
}

// draw is a service time in whole microseconds, which is what a request can ask for.
func (s *schedule) draw() time.Duration {
	mean := s.service.Mean
	switch s.service.Kind {
	case Exponential:
		mean = time.Duration(s.times.ExpFloat64() * float64(mean))
	case TwoPoint:
		if mean = s.service.short(); s.times.Float64() < s.service.Share {
			mean = s.service.Long
		}
	}
	return mean.Round(time.Microsecond)
}
