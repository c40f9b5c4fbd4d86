package verify

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"
)

// Headers of an answer of the application: whose request it answers, who answered, and what of the request's body has come.
const (
	HeaderID   = "X-Id"
	HeaderPID  = "X-Pid"
	HeaderSlot = "X-Slot"
	HeaderSum  = "X-Sum" // SHA-256 of the request's body, in hexadecimal
)

// EchoPath is where requests are answered, UpgradePath where a connection changes to frames; an id follows.
const (
	EchoPath    = "/echo/"
	UpgradePath = "/upgrade/"
)

// Protocol is what a connection changes to at UpgradePath: frames, each a length of four bytes, big-endian, and so many bytes.
// The server sends each back, those of length 0 too; after one of these it closes.
const Protocol = "frames"

// MaxFrame is the most bytes of a frame.
const MaxFrame = 64 << 10

// Ask is what a request to EchoPath wants besides its own body back.
type Ask struct {
	ID     string
	Answer int           // bytes of Pattern to answer with, if the request is a GET
	Wait   time.Duration // that the handler takes before it answers
	Stream bool          // the answer is sent in chunks, the first of them early
}

// Path is the ask as the path of a request, of the same length for asks that differ in the id alone.
func (a Ask) Path() string {
	stream := 0
	if a.Stream {
		stream = 1
	}
	return fmt.Sprintf("%s%s/%d/%d/%d", EchoPath, a.ID, a.Answer, a.Wait.Milliseconds(), stream)
}

// ParseAsk reads what Path has written.
func ParseAsk(path string) (Ask, error) {
	rest, ours := strings.CutPrefix(path, EchoPath)
	words := strings.Split(rest, "/")
	if !ours || len(words) != 4 || words[0] == "" || words[3] != "0" && words[3] != "1" {
		return Ask{}, fmt.Errorf("path %q is not %sID/BYTES/MILLISECONDS/0 or 1", path, EchoPath)
	}
	answer, err := strconv.ParseUint(words[1], 10, 30)
	if err != nil {
		return Ask{}, fmt.Errorf("path %q: bytes of the answer: %w", path, err)
	}
	wait, err := strconv.ParseUint(words[2], 10, 20)
	if err != nil {
		return Ask{}, fmt.Errorf("path %q: milliseconds: %w", path, err)
	}
	return Ask{ID: words[0], Answer: int(answer), Wait: time.Duration(wait) * time.Millisecond, Stream: words[3] == "1"}, nil
}

// Pattern is n bytes that belong to an id: those of two ids differ nearly everywhere. They are SplitMix64
// (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014) from the FNV-1a hash of the id.
func Pattern(id string, n int) []byte {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // never fails
	state := h.Sum64()
	p := make([]byte, 0, n+7)
	for len(p) < n {
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		p = binary.LittleEndian.AppendUint64(p, z^z>>31)
	}
	return p[:n]
}
