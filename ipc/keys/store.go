package keys

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
)

// Store holds the configurations in force, by bind.
type Store struct {
	current atomic.Pointer[map[int]pair]
}

// pair is those of one bind, for engines that speak HTTP/2 and for those that do not.
type pair struct{ http2, http1 *tls.Config }

// Replace puts other keys in force for the handshakes that begin from now on. After an error the old ones stay.
func (s *Store) Replace(k *Keys) error {
	made := make(map[int]pair, len(k.Binds))
	for bind, b := range k.Binds {
		c, err := b.Config()
		if err != nil {
			return fmt.Errorf("bind %d: %w", bind, err)
		}
		if len(k.Tickets) > 0 {
			tickets := make([][32]byte, len(k.Tickets))
			for i, key := range k.Tickets {
				if copy(tickets[i][:], key) != len(tickets[i]) {
					return fmt.Errorf("session ticket key %d has %d bytes instead of %d", i, len(key), len(tickets[i]))
				}
			}
			c.SetSessionTicketKeys(tickets)
		}
		plain := c.Clone()
		c.NextProtos = []string{"h2", "http/1.1"}
		plain.NextProtos = []string{"http/1.1"}
		made[bind] = pair{http2: c, http1: plain}
	}
	s.current.Store(&made)
	return nil
}

// For returns the configuration of a bind, nil if it has no b.
func (s *Store) For(bind int, http2 bool) *tls.Config {
	made := s.current.Load()
	if made == nil {
		return nil
	}
	if http2 {
		return (*made)[bind].http2
	}
	return (*made)[bind].http1
}

// Config makes the configuration of one bind, without protocols and ticket b. The master checks keys with it, too.
func (b Bind) Config() (*tls.Config, error) {
	c := &tls.Config{}
	for i, p := range b.Certificates {
		cert, err := tls.X509KeyPair(p.Certificate, p.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
		c.Certificates = append(c.Certificates, cert)
	}
	if len(c.Certificates) == 0 {
		return nil, errors.New("no certificate")
	}
	switch b.MinVersion {
	case "", "1.2":
		c.MinVersion = tls.VersionTLS12
	case "1.3":
		c.MinVersion = tls.VersionTLS13
	default:
		return nil, fmt.Errorf("TLS version %q is not 1.2 or 1.3", b.MinVersion)
	}
	if len(b.ClientCA) > 0 {
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(b.ClientCA) {
			return nil, errors.New("the file of client authorities holds no certificate")
		}
	}
	switch {
	case b.ClientAuth == "request":
		c.ClientAuth = tls.VerifyClientCertIfGiven
	case b.ClientAuth == "require", b.ClientAuth == "" && c.ClientCAs != nil:
		c.ClientAuth = tls.RequireAndVerifyClientCert
	case b.ClientAuth != "":
		return nil, fmt.Errorf("client authentication %q is not require or request", b.ClientAuth)
	}
	return c, nil
}
