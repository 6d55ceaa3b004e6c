package initbin

import (
	"strings"
	"testing"
)

func TestBytesSaysWhatToDoWhenNotBuilt(t *testing.T) {
	t.Parallel()
	_, err := Bytes("vax")
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Fatalf("Bytes(vax) = %v, want an error that names make build", err)
	}
	b, err := Bytes("amd64")
	switch {
	case err != nil:
		t.Skip("bin/init_linux_amd64 is not built: ", err)
	case !strings.HasPrefix(string(b), "\x7fELF"):
		t.Fatalf("Bytes(amd64) is not an ELF file: % x", b[:4])
	}
}
