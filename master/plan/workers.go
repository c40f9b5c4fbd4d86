package plan

import "iter"

// Workers are the seats with a process in them, by slot.
func (s *Cluster) Workers() iter.Seq2[SeatID, *Seat] {
	return func(yield func(SeatID, *Seat) bool) {
		for i := range s.Slots {
			for j := range s.Slots[i].Seats {
				k := &s.Slots[i].Seats[j]
				if k.Alive() && !yield(SeatID{Slot: i, Side: j, Spawn: k.Spawn}, k) {
					return
				}
			}
		}
	}
}
