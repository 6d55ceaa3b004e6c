package auth

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"hearth"
)

// The bounds of a token, in bytes. The least is what 128 random bits need as text.
const (
	minToken = 22
	maxToken = 512
)

// Secret is text that is never printed: logs, formats and JSON show [redacted].
type Secret string

const redacted = "[redacted]"

// LogValue keeps the secret out of slog, String and GoString out of fmt, MarshalText out of JSON.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// String returns [redacted].
func (Secret) String() string { return redacted }

// GoString returns [redacted].
func (Secret) GoString() string { return redacted }

// MarshalText returns [redacted].
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Reveal returns the text itself, for the one place that writes it down.
func (s Secret) Reveal() string { return string(s) }

// Generate makes a new token: 256 random bits.
func Generate() Secret {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return Secret(base64.RawURLEncoding.EncodeToString(b[:]))
}

// Admin checks requests for the admin token.
type Admin struct {
	digest [sha256.Size]byte
}

// NewAdmin takes the content of the token file: one token, and white space around it.
func NewAdmin(file []byte) (*Admin, error) {
	token := bytes.TrimSpace(file)
	switch {
	case len(token) < minToken:
		return nil, errors.New("admin token is shorter than 22 characters")
	case len(token) > maxToken:
		return nil, errors.New("admin token is longer than 512 characters")
	}
	for _, c := range token {
		if c <= ' ' || c > '~' {
			return nil, errors.New("admin token has a character that a header cannot carry")
		}
	}
	return &Admin{digest: sha256.Sum256(token)}, nil
}

// Check returns nil for a request that carries the token as Authorization: Bearer, and a
// CodeUnauthorized error otherwise. It looks nowhere else: a token in a URL ends in logs.
func (a *Admin) Check(r *http.Request) error {
	header := r.Header.Values("Authorization")
	if len(header) != 1 {
		return hearth.Errorf(hearth.CodeUnauthorized, "This call needs a token: send it as Authorization: Bearer ….")
	}
	scheme, token, _ := strings.Cut(header[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || len(token) > maxToken {
		return hearth.Errorf(hearth.CodeUnauthorized, "This call takes no other credentials than Authorization: Bearer ….")
	}
	// Digests have one length, so the comparison tells nothing about the token's.
	digest := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(digest[:], a.digest[:]) != 1 {
		return hearth.Errorf(hearth.CodeUnauthorized, "The token is not valid.")
	}
	return nil
}
