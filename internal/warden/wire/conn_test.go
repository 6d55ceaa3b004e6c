package wire_test

import (
	"errors"
	"io"
	"testing"

	"hearth/internal/warden/wire"
)

// A process that is killed is an end like any other, whatever it had not read yet: the warden must
// not take it for one that breaks the protocol.
func TestPeerDiesWithMessagesUnread(t *testing.T) {
	t.Parallel()
	for _, unread := range []bool{false, true} {
		conn, peer, err := wire.Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if unread {
			if err := conn.Write([]byte("unread")); err != nil {
				t.Fatal(err)
			}
		}
		peer.Close()
		if _, _, err := conn.Read(); !errors.Is(err, io.EOF) {
			t.Errorf("unread=%t: got %v, want io.EOF", unread, err)
		}
	}
}
