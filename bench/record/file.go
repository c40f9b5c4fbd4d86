package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrCut is what Read returns besides the whole trials if the last line is cut off, as it is when the benchmark was killed.
// Nothing else is wrong with the file.
var ErrCut = errors.New("the last line is cut off: the benchmark ended while it wrote it; the trials before it count")

// A Writer writes a file. Each line reaches the file whole, in one write, so that a benchmark that is killed loses at most
// the trial it was at.
type Writer struct{ w io.Writer }

// NewWriter begins a file with its run. It sets the format.
func NewWriter(w io.Writer, run Run) (*Writer, error) {
	run.Format = Format
	file := &Writer{w}
	return file, file.line(run)
}

// Add appends a trial.
func (w *Writer) Add(t Trial) error { return w.line(t) }

func (w *Writer) line(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("a result cannot be written as JSON: %w", err)
	}
	if _, err := w.w.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("a result was not written: %w", err)
	}
	return nil
}

// Write writes a whole file.
func Write(w io.Writer, run Run, trials []Trial) error {
	file, err := NewWriter(w, run)
	for _, t := range trials {
		if err != nil {
			break
		}
		err = file.Add(t)
	}
	return err
}

// Read reads a file. An error names the line. With ErrCut the run and the trials are those before the cut; with any other
// error they are of no use.
func Read(r io.Reader) (Run, []Trial, error) {
	var run Run
	var trials []Trial
	lines := bufio.NewReader(r)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return Run{}, nil, fmt.Errorf("line %d cannot be read: %w", number, err)
		}
		last := err == io.EOF
		if number == 1 {
			if run, err = first(line); err != nil {
				return Run{}, nil, err
			}
			continue
		}
		if last && len(line) == 0 {
			return run, trials, nil
		}
		var t Trial
		if err := json.Unmarshal(line, &t); err != nil {
			if last {
				return run, trials, fmt.Errorf("line %d: %w", number, ErrCut)
			}
			return Run{}, nil, fmt.Errorf("line %d is not a trial: %w", number, err)
		}
		trials = append(trials, t)
	}
}

func first(line []byte) (Run, error) {
	var run Run
	if len(bytes.TrimSpace(line)) == 0 {
		return run, errors.New("line 1: the file is empty; the benchmark ended before it wrote what it runs on")
	}
	var head struct {
		Format *int `json:"format"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return run, fmt.Errorf("line 1 is not the description of a run, so this is no result file of a benchmark: %w", err)
	}
	if head.Format == nil {
		return run, errors.New("line 1 has no format, so this is no result file of a benchmark")
	}
	if *head.Format != Format {
		return run, fmt.Errorf("line 1: the file has format %d, and this program reads format %d; use the version that wrote it", *head.Format, Format)
	}
	if err := json.Unmarshal(line, &run); err != nil {
		return run, fmt.Errorf("line 1 is not the description of a run: %w", err)
	}
	return run, nil
}
