package plan

// Inboxes are the seats by who reads their inbox. Nobody reads a deserted one: no worker is there, it is still starting, or it is
// stalled. What lies in it can be passed on to the takers. One that drains reads its own until it exits, and takes no more.
func (s *Cluster) Inboxes() (deserted, takers []int) {
	for i := range s.Slots {
		if !s.Slots[i].Opened {
			continue
		}
		for j := range s.Slots[i].Seats {
			switch k := &s.Slots[i].Seats[j]; {
			case !k.Alive() || k.ReadyAt.IsZero() || k.Stalled:
				deserted = append(deserted, SeatID{Slot: i, Side: j}.Seat())
			case k.State == Ready:
				takers = append(takers, SeatID{Slot: i, Side: j}.Seat())
			}
		}
	}
	return deserted, takers
}
