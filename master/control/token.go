package control

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

const maxToken = 4 << 10

// ReadToken reads the token in a file: one word. open says that other users of the machine may read it, too. An empty path
// is no token.
func ReadToken(path string) (token string, open bool, err error) {
	if path == "" {
		return "", false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", false, fmt.Errorf("--metrics-token-file cannot be read: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", false, fmt.Errorf("--metrics-token-file cannot be read: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return "", false, fmt.Errorf("--metrics-token-file cannot be read: %w", err)
	}
	switch words := strings.Fields(string(text)); {
	case len(text) > maxToken:
		return "", false, fmt.Errorf("--metrics-token-file %s has more than %d bytes: write one token into it", path, maxToken)
	case len(words) == 0:
		return "", false, fmt.Errorf("--metrics-token-file %s is empty: write a token into it, such as the output of `openssl rand -hex 32`", path)
	case len(words) > 1:
		return "", false, fmt.Errorf("--metrics-token-file %s has %d words: write one token into it", path, len(words))
	default:
		return words[0], st.Mode().Perm()&0o004 != 0, nil
	}
}

// bears says whether a request brings the token (RFC 6750, section 2.1). How long the comparison takes tells nothing of it.
func bears(r *http.Request, token string) bool {
	if token == "" {
		return true
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	a, b := sha256.Sum256([]byte(strings.TrimSpace(given))), sha256.Sum256([]byte(token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
