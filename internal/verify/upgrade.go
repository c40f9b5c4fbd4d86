package verify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// upgrade changes the protocol of a connection of its own and has frames echoed. All of it is one request.
func (c *client) upgrade() {
	const doing = "upgrading"
	k := c.connect(doing)
	if k == nil {
		return
	}
	if c.often(50) && !c.exchange(k, doing, c.small(k, 1, 5)) {
		return
	}
	k.asked++
	began := time.Now()
	f := Fault{ID: c.id(k), Doing: doing}
	f.Fate, f.Err = c.changeProtocol(k, f.ID)
	f.Lasted = time.Since(began)
	c.note(k, f)
	if f.Fate != Right {
		_ = k.Close()
		return
	}
	c.untilEnd(k, doing)
}

// changeProtocol goes as far as to the server's last frame.
func (c *client) changeProtocol(k *conn, id string) (Fate, error) {
	_ = k.SetDeadline(time.Now().Add(c.Timeout))
	k.got, k.err = int64(k.in.Buffered()), nil
	frames := make([][]byte, 1+c.dice.IntN(6))
	for i := range frames {
		size := 1 + c.dice.IntN(8<<10)
		if i == len(frames)-1 {
			size = 0
		}
		frames[i] = frame(Pattern(id+"."+strconv.Itoa(i), size))
	}
	text := fmt.Appendf(nil, "GET %s%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", UpgradePath, id, c.Addr, Protocol)
	early := c.often(30) // the first frame comes with the request, in the same buffer of the engine
	if early {
		text = append(text, frames[0]...)
	}
	if _, err := k.Write(text); err != nil {
		return unwritten(err), err
	}
	res, err := k.head(http.MethodGet)
	switch {
	case err != nil:
		return k.failed(err)
	case res.StatusCode >= 500:
		return Unavailable, errors.New(res.Status)
	case res.StatusCode != http.StatusSwitchingProtocols:
		return Wrong, fmt.Errorf("%s instead of another protocol", res.Status)
	}
	if fate, err := c.compareID(res, id); err != nil {
		return fate, err
	}
	c.hear(k, res)
	for i, due := range frames {
		if !early || i > 0 {
			if _, err := k.Write(due); err != nil {
				return unwritten(err), err
			}
		}
		got := make([]byte, len(due))
		if _, err := io.ReadFull(k.in, got); err != nil {
			return k.failed(err)
		}
		if !bytes.Equal(got, due) {
			return Wrong, fmt.Errorf("frame %d of %d bytes came back as %.64q", i, len(due), got)
		}
	}
	return Right, nil
}

func frame(text []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}
