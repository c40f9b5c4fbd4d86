package configs

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// keyValue is one setting of a bind, as in ?mode=0660.
type keyValue struct{ key, value string }

// bindKeys are the settings that a bind can have, and of which schemes.
var bindKeys = []struct {
	key     string
	schemes []string
	read    func(b *Bind, value string) error
	repeats bool
}{
	{key: "cert", schemes: []string{"tls"}, repeats: true, read: func(b *Bind, value string) error {
		b.Certificates = append(b.Certificates, Certificate{File: value})
		return nil
	}},
	{key: "key", schemes: []string{"tls"}, repeats: true, read: (*Bind).readKey},
	{key: "client-ca", schemes: []string{"tls"}, read: func(b *Bind, value string) error { b.ClientCA = value; return nil }},
	{key: "client-auth", schemes: []string{"tls"}, read: func(b *Bind, value string) error {
		return oneOf("client-auth", value, &b.ClientAuth, "require", "request")
	}},
	{key: "min-version", schemes: []string{"tls"}, read: func(b *Bind, value string) error {
		return oneOf("min-version", value, &b.MinVersion, "1.2", "1.3")
	}},
	{key: "mode", schemes: []string{"unix"}, read: (*Bind).readMode},
	{key: "owner", schemes: []string{"unix"}, read: (*Bind).readOwner},
	{key: "proxy", schemes: []string{"tcp", "tls", "unix", "fd"}, read: (*Bind).readProxy},
}

// readQuery reads what follows the question mark, and checks that it is whole.
func (b *Bind) readQuery(query string, asked bool) error {
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		if !asked {
			break
		}
		key, value, _ := strings.Cut(pair, "=")
		value, err := url.PathUnescape(value) // not QueryUnescape: a plus sign in a path is one
		if err != nil {
			return fmt.Errorf("%s: %w (a percent sign is written %%25)", key, err)
		}
		if err := b.readSetting(key, value, seen[key]); err != nil {
			return err
		}
		seen[key] = true
	}
	if b.Scheme != "tls" {
		return nil
	}
	switch {
	case len(b.Certificates) == 0:
		return errors.New("it has no certificate")
	case slices.ContainsFunc(b.Certificates, func(c Certificate) bool { return c.Key == "" }):
		return errors.New("cert and key come in pairs, and a key is missing")
	case b.ClientAuth != "" && b.ClientCA == "":
		return errors.New("client-auth needs a client-ca to check the certificates against")
	case b.ClientAuth == "" && b.ClientCA != "":
		b.ClientAuth = "require"
	}
	if b.MinVersion == "" {
		b.MinVersion = "1.2"
	}
	return nil
}

func (b *Bind) readSetting(key, value string, again bool) error {
	var known []string
	for _, k := range bindKeys {
		fits := slices.Contains(k.schemes, b.Scheme)
		if fits {
			known = append(known, k.key)
		}
		switch {
		case k.key != key:
		case !fits:
			return fmt.Errorf("%q is a setting of %s, not of %s", key, strings.Join(k.schemes, ", "), b.Scheme)
		case value == "":
			return fmt.Errorf("%q has no value", key)
		case again && !k.repeats:
			return fmt.Errorf("%q is given twice", key)
		case b.Scheme == "unix" && b.Address[0] == '@' && key != "proxy":
			return fmt.Errorf("an abstract socket has no file, so no %s", key)
		default:
			return k.read(b, value)
		}
	}
	return fmt.Errorf("unknown setting %q%s; %s has %s", key, DidYouMean(key, "", known), b.Scheme, either(known))
}

// readKey gives the key to the first certificate that has none.
func (b *Bind) readKey(value string) error {
	i := slices.IndexFunc(b.Certificates, func(c Certificate) bool { return c.Key == "" })
	if i < 0 {
		return errors.New("cert and key come in pairs, the certificate first")
	}
	b.Certificates[i].Key = value
	return nil
}

func (b *Bind) readMode(value string) error {
	n, err := strconv.ParseUint(value, 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("mode %q is none: give octal permissions from 0000 to 0777", value)
	}
	b.Mode = fmt.Sprintf("%04o", n)
	return nil
}

func (b *Bind) readOwner(value string) error {
	user, group, both := strings.Cut(value, ":")
	if both && group == "" || user == "" && group == "" || strings.Contains(group, ":") {
		return fmt.Errorf("owner %q is none: give USER, USER:GROUP or :GROUP", value)
	}
	b.Owner = value
	return nil
}

func (b *Bind) readProxy(value string) error {
	var word string
	if err := oneOf("proxy", value, &word, "on", "off"); err != nil {
		return err
	}
	b.Proxy = word == "on"
	return nil
}

func oneOf(key, value string, into *string, words ...string) error {
	if !slices.Contains(words, value) {
		return fmt.Errorf("%s is %s, not %q", key, strings.Join(words, " or "), value)
	}
	*into = value
	return nil
}

// query is the settings that are no defaults, in a fixed order.
func (b Bind) query() (pairs []keyValue) {
	add := func(key, value, byDefault string) {
		if value != "" && value != byDefault {
			pairs = append(pairs, keyValue{key, value})
		}
	}
	for _, c := range b.Certificates {
		add("cert", c.File, "")
		add("key", c.Key, "")
	}
	add("client-ca", b.ClientCA, "")
	add("client-auth", b.ClientAuth, "require")
	add("min-version", b.MinVersion, "1.2")
	add("mode", b.Mode, "")
	add("owner", b.Owner, "")
	if b.Proxy {
		add("proxy", "on", "")
	}
	return pairs
}

// escape writes a value so that it ends where it should.
func escape(value string) string {
	var text strings.Builder
	for _, c := range []byte(value) {
		if c <= ' ' || c == '%' || c == '&' || c == 0x7f {
			fmt.Fprintf(&text, "%%%02X", c)
		} else {
			text.WriteByte(c)
		}
	}
	return text.String()
}
