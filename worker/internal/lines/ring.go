package lines

import (
	"math/bits"
	"sync/atomic"

	"golang.org/x/sys/cpu"
)

// granule is the unit in which the ring is given out, in bytes.
const granule = 64

// closed is the bit of ring.head that ends all claims.
const closed = 1 << 63

// ring is a bounded queue of lines from many producers to one consumer, in one piece of memory that is never allocated
// again. A producer claims room for its line by moving head, copies the line in, and then stores its size, which says that
// it is whole. The consumer takes whole lines in the order of their claims and sets the size back to 0 before it moves
// tail, so a producer finds only zeros in what it claims. It is the ManyToOneRingBuffer of Agrona (Martin Thompson); what
// differs is that sizes lie apart from the bytes, so a line may go around the end and nothing needs to be padded.
//
// Positions count granules and never go around: 2^63 of them are not used up.
type ring struct {
	data  []byte
	sizes []atomic.Uint32 // by granule: 1 + the length of the line that begins there, or 0 while it is not whole
	mask  uint64          // granules in the ring - 1; they are a power of two
	_     cpu.CacheLinePad
	head  atomic.Uint64 // up to here claimed
	_     cpu.CacheLinePad
	tail  atomic.Uint64 // up to here free again
	next  uint64        // the consumer's position: tail, or further before release
	_     cpu.CacheLinePad
}

// newRing makes a ring of at least so many bytes, rounded up to a power of two. A line takes a multiple of granule.
func newRing(capacity int) *ring {
	granules := uint64(1) << bits.Len64(uint64(max(capacity, 1)-1)/granule)
	return &ring{data: make([]byte, granules*granule), sizes: make([]atomic.Uint32, granules), mask: granules - 1}
}

// granules is the room that a line of so many bytes takes.
func granules(size int) uint64 { return max(1, (uint64(size)+granule-1)/granule) }

// push copies a line in, or returns false if there is no room for it, or if the ring is closed.
func (r *ring) push(line []byte) bool {
	room := granules(len(line))
	pos := r.head.Load()
	for {
		// tail may be read after others have moved head, and be beyond pos: then the claim below fails.
		if pos&closed != 0 || int64(pos+room-r.tail.Load()) > int64(len(r.sizes)) {
			return false
		}
		if r.head.CompareAndSwap(pos, pos+room) {
			break
		}
		pos = r.head.Load()
	}
	n := copy(r.data[(pos&r.mask)*granule:], line)
	copy(r.data, line[n:])
	r.sizes[pos&r.mask].Store(uint32(len(line)) + 1)
	return true
}

// position is where the next line will be claimed: all that was handed over until now lies before it.
func (r *ring) position() uint64 { return r.head.Load() &^ closed }

// close ends all claims, and returns the position of the last.
func (r *ring) close() uint64 { return r.head.Or(closed) &^ closed }

// peek is the size of the consumer's next line. ok is false if there is none, or if it is not whole yet.
func (r *ring) peek() (size int, ok bool) {
	n := r.sizes[r.next&r.mask].Load()
	return int(n) - 1, n != 0
}

// take appends the line that peek has found to buf.
func (r *ring) take(buf []byte, size int) []byte {
	start := (r.next & r.mask) * granule
	first := min(size, len(r.data)-int(start))
	buf = append(buf, r.data[start:start+uint64(first)]...)
	buf = append(buf, r.data[:size-first]...)
	r.skip(size)
	return buf
}

// skip leaves out the line that peek has found.
func (r *ring) skip(size int) {
	r.sizes[r.next&r.mask].Store(0)
	r.next += granules(size)
}

// release gives the room of all lines taken back to the producers.
func (r *ring) release() { r.tail.Store(r.next) }
