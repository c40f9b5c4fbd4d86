package scoreboard

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

// The layout is a contract between programs of different ages: a master reads the rows of workers that were built before
// and after it. A difference here needs a new version, unless it is an addition at the end of a row or a cell.
const goldenLayout = `
header 64
  0 magic 8
  8 version 8
  16 slots 8
  24 threads 8
  32 rowStride 8
  40 cellStride 8
  48 rowsAt 8
  56 cellsAt 8
Row 2752
  0 Epoch 8
  8 PID 8
  16 Generation 8
  24 State 8
  32 Heartbeat 8
  40 Open 8
  48 Waiting 8
  56 OldestWaiting 8
  64 Heap 8
  72 Goroutines 8
  80 Accepted 8
  88 Requests 40
  128 Refused 8
  136 Panics 8
  144 CPU 8
  152 GCCPU 8
  160 Duration 792
  952 Wait 792
  1744 Sched 792
  2536 Accepting 8
  2544 LogDropped 8
  2552 Handoff 120
  2672 GCIdle 8
  2680 Detached 8
  2688 TimedOut 8
  2696 _ 56
Histogram 792
  0 buckets 784
  784 sum 8
Handoff 120
  0 Takes 8
  8 OldestMovable 8
  16 Moved 24
  40 Received 8
  48 Stayed 56
  104 Conflicts 8
  112 Expired 8
Cell 128
  0 word 8
  8 since 8
  16 seq 4
  20 _ 4
  24 method 8
  32 path 88
  120 _ 8
`

func TestLayoutGolden(t *testing.T) {
	var got strings.Builder
	for _, record := range []reflect.Type{
		reflect.TypeFor[header](), reflect.TypeFor[Row](), reflect.TypeFor[Histogram](), reflect.TypeFor[Handoff](), reflect.TypeFor[Cell](),
	} {
		fmt.Fprintf(&got, "%s %d\n", record.Name(), record.Size())
		for field := range record.Fields() {
			fmt.Fprintf(&got, "  %d %s %d\n", field.Offset, field.Name, field.Type.Size())
		}
	}
	if want := strings.TrimPrefix(goldenLayout, "\n"); got.String() != want {
		t.Errorf("the layout is\n%swant\n%s", got.String(), want)
	}
}

func TestLayoutConstants(t *testing.T) {
	for name, c := range map[string]struct{ got, want uint64 }{
		"magic":          {magic, 0x626f617264636c75},
		"version":        {version, 1},
		"word free":      {wordFree, 0},
		"word reserved":  {wordReserved, 1},
		"word running":   {wordRunning, 2},
		"state boot":     {StateBoot, 0}, // what Clear leaves
		"state ready":    {StateReady, 1},
		"state draining": {StateDraining, 2},
		"classes":        {Classes, 5},
		"bounds":         {Bounds, 97},
	} {
		if c.got != c.want {
			t.Errorf("%s is %#x, want %#x: this needs a new version", name, c.got, c.want)
		}
	}
	for i, want := range map[int]int64{0: 7629, 1: 9072, 2: 10789, 3: 12831, 4: 15258, 68: 1e9, 69: 1189207115, 96: 128e9} {
		if bounds[i] != want {
			t.Errorf("bound %d is %d ns, want %d: this needs a new version", i, bounds[i], want)
		}
	}
}

func TestLayoutOfBoard(t *testing.T) {
	for _, slots := range []int{1, 2, 64, 1024} {
		for _, threads := range []int{1, 3, 32, 500} {
			h := layout(slots, threads)
			if err := h.check(h.cellsAt + 2*h.slots*h.threads*h.cellStride); err != nil {
				t.Errorf("%d × %d: %v", slots, threads, err)
			}
			if h.rowStride%64 != 0 || h.cellStride%64 != 0 || h.rowsAt%64 != 0 || h.cellsAt%64 != 0 {
				t.Errorf("%d × %d: %+v: records share cache lines", slots, threads, h)
			}
		}
	}
	if size := uint64(unsafe.Sizeof(Cell{})); layout(1, 1).cellStride != size {
		t.Errorf("a cell of %d bytes is padded to %d", size, layout(1, 1).cellStride)
	}
}
