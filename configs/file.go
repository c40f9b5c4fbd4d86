package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile is the largest file that is read, in bytes. A larger one is something else.
const maxFile = 1 << 20

// readFile returns what the file says, by the name of the setting. The entries are nil if nothing could be read; no
// file at all is an empty path.
func (s *Sources) readFile() (entries map[string]Origin, path string, wrong Errors) {
	path = s.File
	if path == "" {
		path = s.variable(FileVariable)
	}
	byDefault := path == ""
	if byDefault {
		path = DefaultFile
	}
	data, err := readAtMost(path, maxFile)
	if byDefault && errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		var failed *fs.PathError
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, path, Errors{{From: FromFile, text: fmt.Sprintf("configuration file %s: %v", path, err)}}
	}
	entries, wrong = parseFile(path, data)
	return entries, path, wrong
}

func readAtMost(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("it is larger than %s, which is no configuration", formatSize(most))
	}
	return data, err
}

// parseFile reads the keys of a file and the texts of their values, which are not looked at yet. What has the wrong form
// is an entry without texts.
func parseFile(path string, data []byte) (map[string]Origin, Errors) {
	root, failure := document(path, data)
	if failure != nil {
		return nil, Errors{failure}
	}
	entries := map[string]Origin{}
	if root == nil {
		return entries, nil
	}
	var wrong Errors
	refuse := func(n *yaml.Node, format string, args ...any) {
		wrong = append(wrong, refusal(path, n.Line, n.Column, fmt.Sprintf(format, args...)))
	}
	if root.Kind != yaml.MappingNode {
		refuse(root, "this is %s: give a line `key: value` for each setting", described(root))
		return nil, wrong
	}
	first := map[string]int{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], followed(root.Content[i+1])
		setting := settingNamed(key.Value)
		if key.Kind != yaml.ScalarNode {
			refuse(key, "a key is %s: give the name of a setting", described(key))
			continue
		}
		if line, twice := first[key.Value]; twice {
			refuse(key, "%s is given twice, first in line %d", shown(key.Value), line)
			continue
		}
		first[key.Value] = key.Line
		if setting == nil {
			refuse(key, "unknown key %s%s", shown(key.Value), knownKey(key.Value))
			continue
		}
		o := Origin{Source: FromFile, Name: path, Line: key.Line}
		if where, why := setting.take(value, &o); why != "" {
			refuse(where, "%s %s", key.Value, why)
			o.written = nil
		}
		entries[key.Value] = o
	}
	return entries, wrong
}

// take puts the texts of a value into o, or says what is of the wrong form, and why.
func (s *Setting) take(value *yaml.Node, o *Origin) (where *yaml.Node, why string) {
	items := []*yaml.Node{value}
	switch {
	case value.Kind == yaml.SequenceNode && s.IsList():
		items = value.Content
	case value.ShortTag() == "!!null":
	case value.Kind != yaml.ScalarNode || s.Kind == Words:
		return value, fmt.Sprintf("is %s: give %s", described(value), s.form())
	}
	o.written = []string{}
	o.places = []place{{value.Line, value.Column}} // of an empty list
	for i, item := range items {
		item = followed(item)
		if item.ShortTag() == "!!null" {
			return item, "has no value: give " + s.form() + ", or remove the line"
		}
		if item.Kind != yaml.ScalarNode {
			return item, fmt.Sprintf("has %s in its list: give %s", described(item), s.form())
		}
		if item.Value == "" && s.Kind == Binds {
			return item, "is empty: give " + s.form()
		}
		if i == 0 {
			o.places = nil
		}
		o.written = append(o.written, item.Value)
		o.places = append(o.places, place{item.Line, item.Column})
	}
	if len(o.written) == 0 && s.Kind == Binds {
		return value, "is empty: give " + s.form()
	}
	return nil, ""
}

// form is what a value is to look like.
func (s *Setting) form() string {
	switch s.Kind {
	case Number:
		return either(append([]string{"a whole number"}, s.Words...))
	case Size:
		return "a size such as 64KiB"
	case Duration:
		return "a duration such as 500ms, 10s or 2m"
	case Switch:
		return "true or false"
	case Choice:
		return either(s.Words)
	case Binds:
		return "an address such as tcp://127.0.0.1:9292, or a list of them"
	case Words:
		return "a list such as [./app, --verbose]"
	}
	return "a text"
}

func described(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a map"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "empty"
	}
	return "the text " + quote(n.Value)
}

// followed is the node that an alias stands for.
func followed(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func shown(key string) string {
	if settingNamed(key) != nil {
		return key
	}
	return quote(key)
}

func knownKey(given string) string {
	var names []string
	for i := range schema {
		names = append(names, schema[i].Name)
	}
	if near := DidYouMean(given, "", names); near != "" {
		return near
	}
	return "; `cluster config init -` prints all keys"
}

// refusal is an error of the file itself. A column of 0 is not known.
func refusal(path string, line, column int, why string) *Error {
	at := place{max(line, 1), column}
	where := at.String()
	if column == 0 {
		where = strconv.Itoa(at.line)
	}
	return &Error{From: FromFile, text: path + ":" + where + ": " + why, at: at}
}

// document is what the file holds, nil if it holds nothing but comments.
func document(path string, data []byte) (*yaml.Node, *Error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, syntaxError(path, data, err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, refusal(path, second.Line, second.Column, "a second document begins here: a configuration is one")
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(path, data, err)
	}
	root := followed(first.Content[0])
	if root.ShortTag() == "!!null" {
		return nil, nil
	}
	return root, nil
}

// syntax is what the library says, and what a person who does not know the grammar can do about it.
var syntax = []struct{ said, why string }{
	{"mapping values are not allowed", "a colon where no key can be: begin every key in the first column, and quote a value that has a colon and a blank in it"},
	{"cannot start any token", "a value cannot begin with this character: quote it"},
	{"could not find expected ':'", "this is no `key: value`"},
	{"did not find expected", "a key, a list or a quote has no proper end here or before; quote a value that begins with one of [ ] { } * & ! | > ' \" % @ `"},
	{"unknown escape", "unknown escape in double quotes: write \\\\ for a backslash, or use single quotes"},
	{"unknown anchor", "an anchor that is nowhere: quote a value that begins with *"},
	{"unexpected end of stream", "the file ends in the middle of a quoted text"},
	{"control characters are not allowed", "a control character: a configuration is plain text"},
	{"UTF-8", "this is not text in UTF-8"},
}

var libraryError = regexp.MustCompile(`^yaml: (?:line (\d+): )?((?s).*)$`)

func syntaxError(path string, data []byte, err error) *Error {
	// The library names a line, not always the right one, and no column; a tab is the usual reason and easily found.
	number := 0
	for line := range bytes.Lines(data) {
		number++
		blank := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		if at := bytes.IndexByte(blank, '\t'); at >= 0 {
			return refusal(path, number, at+1, "a tab: YAML wants blanks before a key and before the dash of a list")
		}
	}
	line, said := 1, err.Error()
	if m := libraryError.FindStringSubmatch(said); m != nil {
		said = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	for _, s := range syntax {
		if strings.Contains(said, s.said) {
			said = s.why
			break
		}
	}
	return refusal(path, line, 0, said)
}
