package sandbox

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

// idEncoding gives 26 characters of [a-z2-7] for 16 bytes.
var idEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// newID returns 128 random bits. Ids are never used again, which random ones promise without a
// memory of the old ones.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails; the runtime ends the program instead
	return strings.ToLower(idEncoding.EncodeToString(b[:]))
}
