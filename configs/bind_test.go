package configs

import (
	"reflect"
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
		{"[::ffff:127.0.0.1]:80", "tcp://127.0.0.1:80"},
		{"127.0.0.1:80?proxy=off", "tcp://127.0.0.1:80"},
		{":80?proxy=on", "tcp://:80?proxy=on"},

		{"tls://:443?cert=a.pem&key=a.key", "tls://:443?cert=a.pem&key=a.key"},
		{"tls://:443?proxy=on&cert=a&cert=b&key=c&min-version=1.2&key=d", "tls://:443?cert=a&key=c&cert=b&key=d&proxy=on"},
		{
			"tls://0.0.0.0:443?cert=/a+b.pem&key=/a%26b.key&client-ca=/c%25a%20.pem&client-auth=require&min-version=1.3",
			"tls://0.0.0.0:443?cert=/a+b.pem&key=/a%26b.key&client-ca=/c%25a%20.pem&min-version=1.3",
		},
		{"tls://:443?cert=a&key=b&client-ca=c&client-auth=request", "tls://:443?cert=a&key=b&client-ca=c&client-auth=request"},

		{"unix:///run/app.sock", "unix:///run/app.sock"},
		{"unix:///run/./x//../app.sock?mode=660", "unix:///run/app.sock?mode=0660"},
		{"unix:///run/app:0?owner=www-data:www-data&mode=0777&proxy=on", "unix:///run/app:0?mode=0777&owner=www-data:www-data&proxy=on"},
		{"unix:///run/a?owner=:33", "unix:///run/a?owner=:33"},
		{"unix:///run/a?owner=33", "unix:///run/a?owner=33"},
		{"unix:///run/100%/a b.sock", "unix:///run/100%/a b.sock"},
		{"unix://@app", "unix://@app"},
		{"unix://@app?proxy=on", "unix://@app?proxy=on"},
		{"unix:///" + strings.Repeat("x", 106), "unix:///" + strings.Repeat("x", 106)},
		{"unix://@" + strings.Repeat("x", 107), "unix://@" + strings.Repeat("x", 107)},

		{"fd://web", "fd://web"},
		{"fd://3", "fd://3"},
		{"fd://app.socket?proxy=on", "fd://app.socket?proxy=on"},
	} {
		b, err := ParseBind(test.text)
		if err != nil || b.String() != test.want {
			t.Errorf("ParseBind(%q) = %v, %v, want %v", test.text, b, err, test.want)
		}
		if again, err := ParseBind(b.String()); err != nil || !reflect.DeepEqual(again, b) {
			t.Errorf("%v is read back as %+v, %v, want %+v", b, again, err, b)
		}
	}
}

func TestParseBindFields(t *testing.T) {
	for text, want := range map[string]Bind{
		"tls://[::1]:443?cert=a&key=b&cert=c&key=d&client-ca=e&proxy=on": {
			Scheme: "tls", Address: "[::1]:443", Proxy: true, Certificates: []Certificate{{"a", "b"}, {"c", "d"}},
			ClientCA: "e", ClientAuth: "require", MinVersion: "1.2",
		},
		"tls://:443?cert=%2Fa%2Bb&key=c": {Scheme: "tls", Address: ":443", Certificates: []Certificate{{"/a+b", "c"}}, MinVersion: "1.2"},
		"unix:///run/a?mode=7&owner=me":  {Scheme: "unix", Address: "/run/a", Mode: "0007", Owner: "me"},
		"fd://4":                         {Scheme: "fd", Address: "4"},
	} {
		if b, err := ParseBind(text); err != nil || !reflect.DeepEqual(b, want) {
			t.Errorf("ParseBind(%q) = %+v, %v, want %+v", text, b, err, want)
		}
	}
}

func TestParseBindRefuses(t *testing.T) {
	const tcp, tls, unix, fd = "write tcp://HOST:PORT, for example tcp://127", "write tls://HOST:PORT?cert=PATH&key=PATH", "write unix:///PATH or unix://@NAME", "write fd://NAME or fd://NUMBER"
	for _, test := range []struct{ text, why, form string }{
		{"", "it has no port", tcp},
		{"9292", "it has no port", tcp},
		{"127.0.0.1", "it has no port", tcp},
		{"tcp://", "it has no port", tcp},
		{"127.0.0.1:", `"" is no port`, tcp},
		{"127.0.0.1:http", `"http" is no port`, tcp},
		{"127.0.0.1:-1", `"-1" is no port between 0 and 65535`, tcp},
		{"127.0.0.1:+80", `"+80" is no port`, tcp},
		{"127.0.0.1:65536", `"65536" is no port between 0 and 65535`, tcp},
		{"::1:80", "an IPv6 address is written in brackets", tcp},
		{"[::1]", "an IPv6 address is written in brackets and followed by a port", tcp},
		{"example.com:80", `"example.com" is no IP address`, tcp},
		{"256.0.0.1:80", `"256.0.0.1" is no IP address`, tcp},
		{"http://127.0.0.1:80", `unknown scheme "http"`, "write tcp://HOST:PORT, tls://HOST:PORT?cert=PATH&key=PATH, unix:///PATH or unix://@NAME, fd://NAME or fd://NUMBER, for example"},
		{"://127.0.0.1:80", `unknown scheme ""`, "write tcp://HOST:PORT, tls://"},

		{":80?", `unknown setting ""; tcp has proxy`, tcp},
		{":80?prox=on", `unknown setting "prox" (did you mean proxy?); tcp has proxy`, tcp},
		{":80?proxy", `"proxy" has no value`, tcp},
		{":80?proxy=yes", `proxy is on or off, not "yes"`, tcp},
		{":80?proxy=on&proxy=on", `"proxy" is given twice`, tcp},
		{":80?proxy=%zz", `proxy: invalid URL escape "%zz" (a percent sign is written %25)`, tcp},
		{":80?mode=0660", `"mode" is a setting of unix, not of tcp`, tcp},
		{":80?cert=a", `"cert" is a setting of tls, not of tcp`, tcp},

		{"tls://:443", "it has no certificate", tls},
		{"tls://:443?min-version=1.3", "it has no certificate", tls},
		{"tls://:443?cert=a", "a key is missing", tls},
		{"tls://:443?cert=a&key=b&cert=c", "a key is missing", tls},
		{"tls://:443?key=a&cert=b", "cert and key come in pairs, the certificate first", tls},
		{"tls://:443?cert=a&key=b&key=c", "cert and key come in pairs", tls},
		{"tls://:443?cert=a&key=", `"key" has no value`, tls},
		{"tls://:443?cert=a&key=b&client-auth=require", "client-auth needs a client-ca", tls},
		{"tls://:443?cert=a&key=b&client-ca=c&client-auth=maybe", `client-auth is require or request, not "maybe"`, tls},
		{"tls://:443?cert=a&key=b&min-version=1.1", `min-version is 1.2 or 1.3, not "1.1"`, tls},
		{"tls://:443?certs=a", `unknown setting "certs" (did you mean cert?); tls has cert, key, client-ca, client-auth, min-version or proxy`, tls},
		{"tls://example.com:443?cert=a&key=b", `"example.com" is no IP address`, tls},

		{"unix://", "it has no path", unix},
		{"unix://run/app.sock", `the path "run/app.sock" is relative, and a path begins with a slash of its own`, unix},
		{"unix://./app.sock", "is relative", unix},
		{"unix:/run/app.sock", "it has no path", unix},
		{"/run/app.sock", "it has no path", unix},
		{"@app", "it has no path", unix},
		{"unix:///", `"/" names a folder`, unix},
		{"unix:///run/", `"/run/" names a folder`, unix},
		{"unix:///run/a\x00b", "a NUL byte", unix},
		{"unix://@", "the abstract socket has no name", unix},
		{"unix:///" + strings.Repeat("x", 107), "the path is 108 bytes long, and a unix socket's may have 107", unix},
		{"unix://@" + strings.Repeat("x", 108), "the name is 108 bytes long, and a unix socket's may have 107", unix},
		{"unix:///run/a?mode=0888", `mode "0888" is none`, unix},
		{"unix:///run/a?mode=1777", `mode "1777" is none: give octal permissions from 0000 to 0777`, unix},
		{"unix:///run/a?mode=rw", `mode "rw" is none`, unix},
		{"unix:///run/a?owner=:", `owner ":" is none: give USER, USER:GROUP or :GROUP`, unix},
		{"unix:///run/a?owner=me:", `owner "me:" is none`, unix},
		{"unix:///run/a?owner=a:b:c", `owner "a:b:c" is none`, unix},
		{"unix://@app?mode=0660", "an abstract socket has no file, so no mode", unix},
		{"unix://@app?owner=me", "an abstract socket has no file, so no owner", unix},
		{"unix:///run/a?owned=me", `unknown setting "owned" (did you mean owner?); unix has mode, owner or proxy`, unix},
		{"unix:///run/a?mod=0660", `unknown setting "mod" (did you mean mode?)`, unix},
		{"unix:///run/a?certificate=b", `unknown setting "certificate"; unix has`, unix},
		{"unix:///run/a?key=b", `"key" is a setting of tls, not of unix`, unix},

		{"fd://", "it names no socket", fd},
		{"fd://2", `"2" is no descriptor that is handed over: they are counted from 3`, fd},
		{"fd://-1", `"-1" is no descriptor`, fd},
		{"fd://03", `"03" is no descriptor`, fd},
		{"fd://a:b", `"a:b" is no name of a socket`, fd},
		{"fd://web?mode=0660", `"mode" is a setting of unix, not of fd`, fd},
	} {
		b, err := ParseBind(test.text)
		if err == nil {
			t.Errorf("ParseBind(%q) = %v", test.text, b)
			continue
		}
		for _, want := range []string{"--bind ", test.why, test.form} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("ParseBind(%q): %v; want %q in it", test.text, err, want)
			}
		}
	}
}

// What is understood can be written down and is then understood the same.
func FuzzParseBind(f *testing.F) {
	for _, text := range []string{
		":0", "[fe80::1%eth0]:80", "tls://:443?cert=a&key=b%26&cert=c&key=%25d&client-ca=e&client-auth=request&min-version=1.3&proxy=on",
		"unix:///run/a?mode=0660&owner=me:us", "unix://@a b", "fd://web", "fd://3?proxy=on", "unix://?", "tcp://[::]:1?proxy=%6fn",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := ParseBind(text)
		if err != nil {
			return
		}
		if b.Plain() == "" || strings.Contains(b.Plain(), "?") {
			t.Errorf("%q is named %q", text, b.Plain())
		}
		again, err := ParseBind(b.String())
		if err != nil || !reflect.DeepEqual(again, b) {
			t.Errorf("%q is %+v, written %q, which is %+v, %v", text, b, b, again, err)
		}
	})
}
