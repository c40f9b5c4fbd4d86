package inboxes

import (
	"errors"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/inbox"
	"github.com/prefork/cluster/ipc/scoreboard"
)

// Set is the inboxes of all seats. Only the loop uses it.
type Set struct {
	board  *scoreboard.Board
	wanted bool
	boxes  []*inbox.Box // by seat
	held   []*parcel    // taken out while every inbox that could take it was full; one a group at most
}

// New makes a set without inboxes. It stays so unless they are wanted.
func New(board *scoreboard.Board, wanted bool) *Set { return &Set{board: board, wanted: wanted} }

// Open makes the inboxes of a slot, and of those before it, unless they exist. It fails when no descriptor is free.
func (s *Set) Open(slot int) error {
	for s.wanted && len(s.boxes) < 2*(slot+1) {
		b, err := inbox.New()
		if err != nil {
			return err
		}
		s.boxes = append(s.boxes, b)
	}
	return nil
}

// Of is what a worker holds: the read end of its own seat's inbox, and by seat the send ends of all others of its group that
// exist. They stay the set's. Both are nil if there are no inboxes.
func (s *Set) Of(seat int) (own *ipc.FD, peers map[int]*ipc.FD) {
	if seat >= len(s.boxes) {
		return nil, nil
	}
	peers = map[int]*ipc.FD{}
	first, end := inbox.Group(seat / 2)
	for other := first; other < min(end, len(s.boxes)); other++ {
		if other != seat {
			peers[other] = s.boxes[other].Send
		}
	}
	return s.boxes[seat].Read, peers
}

// Senders are the send ends of all inboxes that exist, by seat, for a front. They stay the set's.
func (s *Set) Senders() map[int]*ipc.FD {
	all := map[int]*ipc.FD{}
	for seat, b := range s.boxes {
		all[seat] = b.Send
	}
	return all
}

// Close closes the inboxes, and with them the connections that still lie there. It returns how many those were.
func (s *Set) Close() (lost int) {
	for _, p := range s.held {
		p.connection.Close()
		lost++
	}
	for _, b := range s.boxes {
		for {
			p, connection, err := inbox.Receive(b.Read.Int(), false)
			if connection != nil {
				connection.Close()
			}
			if err == nil && p.Kind == inbox.Connection {
				lost++
			} else if err != nil && !errors.Is(err, inbox.ErrVersion) {
				break
			}
		}
		b.Close()
	}
	s.boxes, s.held = nil, nil
	return lost
}
