package store

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

var idEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// newID returns 128 random bits as 26 lower-case letters and digits.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: the program ends if the kernel has no randomness
	return strings.ToLower(idEncoding.EncodeToString(b[:]))
}
