package configs

import (
	"strings"
	"testing"
)

func TestParseBind(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"tcp://127.0.0.1:9292", "tcp://127.0.0.1:9292"},
		{"127.0.0.1:9292", "tcp://127.0.0.1:9292"},
		{"tcp://:80", "tcp://:80"},
		{":0", "tcp://:0"},
		{"localhost:8080", "tcp://localhost:8080"},
		{"[::]:9292", "tcp://[::]:9292"},
		{"tcp://[::1]:65535", "tcp://[::1]:65535"},
		{"[fe80::1%eth0]:80", "tcp://[fe80::1%eth0]:80"},

		// Brought into one spelling, so that the same address given twice is found.
		{"127.0.0.1:08080", "tcp://127.0.0.1:8080"},
		{"127.0.0.1:00", "tcp://127.0.0.1:0"},
		{"[0:0:0:0:0:0:0:1]:80", "tcp://[::1]:80"},
		{"[FE80::A]:80", "tcp://[fe80::a]:80"},
	} {
		b, err := ParseBind(test.text)
		if err != nil || b.String() != test.want {
			t.Errorf("ParseBind(%q) = %v, %v, want %v", test.text, b, err, test.want)
		}
	}
}

func TestParseBindRefuses(t *testing.T) {
	for _, test := range []struct{ text, why string }{
		{"", "it has no port"},
		{"9292", "it has no port"},
		{"127.0.0.1", "it has no port"},
		{"tcp://", "it has no port"},
		{"127.0.0.1:", `"" is no port`},
		{"127.0.0.1:http", `"http" is no port`},
		{"127.0.0.1:-1", `"-1" is no port between 0 and 65535`},
		{"127.0.0.1:+80", `"+80" is no port`},
		{"127.0.0.1:65536", `"65536" is no port between 0 and 65535`},
		{"::1:80", "an IPv6 address is written in brackets"},
		{"[::1]", "an IPv6 address is written in brackets and followed by a port"},
		{"example.com:80", `"example.com" is no IP address`},
		{"256.0.0.1:80", `"256.0.0.1" is no IP address`},
		{"unix:///run/app.sock", `unknown scheme "unix"`},
		{"http://127.0.0.1:80", `unknown scheme "http"`},
		{"://127.0.0.1:80", `unknown scheme ""`},
	} {
		b, err := ParseBind(test.text)
		if err == nil {
			t.Errorf("ParseBind(%q) = %v", test.text, b)
			continue
		}
		for _, want := range []string{"--bind ", test.why, "write tcp://HOST:PORT"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("ParseBind(%q): %v; want %q in it", test.text, err, want)
			}
		}
	}
}
