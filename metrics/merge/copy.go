package merge

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// Rule says how a gauge of several workers becomes one.
type Rule string

// The rules. A gauge without one is summed.
const (
	Sum     Rule = "sum"
	Max     Rule = "max"
	Min     Rule = "min"
	PerSlot Rule = "slot" // one series a slot, with the label slot; two workers of a slot are summed
)

// Copy is what one worker's registry holds at one moment.
type Copy struct {
	Rules    map[string]Rule // by name of the metric
	Families []*dto.MetricFamily
}

// version is that of the format. A copy of another one is not understood.
const version = 1

type header struct {
	Version int             `json:"version"`
	Rules   map[string]Rule `json:"rules,omitempty"`
}

// Encode makes the bytes that travel: a header in JSON, then each family as io.prometheus.client.MetricFamily, all with
// their length before them (protobuf's varint). Equal copies have equal bytes; a copy without families has none.
func (c *Copy) Encode() ([]byte, error) {
	if len(c.Families) == 0 {
		return nil, nil
	}
	head, err := json.Marshal(header{version, c.Rules})
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	data := append(binary.AppendUvarint(nil, uint64(len(head))), head...)
	for _, f := range c.Families {
		data = binary.AppendUvarint(data, uint64(proto.Size(f)))
		if data, err = (proto.MarshalOptions{Deterministic: true, UseCachedSize: true}).MarshalAppend(data, f); err != nil {
			return nil, fmt.Errorf("metric %s: %w", f.GetName(), err)
		}
	}
	return data, nil
}

var errCut = errors.New("the copy of the metrics ends in the middle of a record")

// Decode reads what Encode has made. It uses memory in proportion to the data, whatever they say of their length.
func Decode(data []byte) (*Copy, error) {
	c := &Copy{}
	if len(data) == 0 {
		return c, nil
	}
	record, data, err := next(data)
	if err != nil {
		return nil, err
	}
	var head header
	if err := json.Unmarshal(record, &head); err != nil {
		return nil, fmt.Errorf("the copy of the metrics has no header: %w", err)
	}
	if head.Version != version {
		return nil, fmt.Errorf("the copy of the metrics has the format %d, this program knows %d: build master and worker from the same release of cluster", head.Version, version)
	}
	c.Rules = head.Rules
	for len(data) > 0 {
		if record, data, err = next(data); err != nil {
			return nil, err
		}
		f := &dto.MetricFamily{}
		if err := proto.Unmarshal(record, f); err != nil {
			return nil, fmt.Errorf("the copy of the metrics has a family that cannot be read: %w", err)
		}
		c.Families = append(c.Families, f)
	}
	return c, nil
}

func next(data []byte) (record, rest []byte, err error) {
	size, n := binary.Uvarint(data)
	if n <= 0 || size > uint64(len(data)-n) {
		return nil, nil, errCut
	}
	return data[n : n+int(size)], data[n+int(size):], nil
}
