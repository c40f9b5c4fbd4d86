package main

import (
	"sync"
	"time"
)

type note struct {
	ID      int       `json:"id"`
	Text    string    `json:"text"`
	Created time.Time `json:"created"`
}

// notes are those of this process. Handlers of several threads use them at once.
type notes struct {
	mu   sync.RWMutex
	list []note // the note n has the index n-1
}

func (s *notes) add(text string) note {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := note{ID: len(s.list) + 1, Text: text, Created: time.Now().UTC()}
	s.list = append(s.list, n)
	return n
}

func (s *notes) get(id int) (note, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if id < 1 || id > len(s.list) {
		return note{}, false
	}
	return s.list[id-1], true
}

// all is a copy, and never nil, which JSON would show as null.
func (s *notes) all() []note {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return append([]note{}, s.list...)
}

func (s *notes) count() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.list)
}
