package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"hearth/e2e/harness"
)

// webSockets is a WebSocket server without a package: text and binary come back as they were, "close"
// closes with a code and a reason, and a close is answered with its own code.
const webSockets = `
const http = require('http'), {createHash} = require('crypto')
const server = http.createServer((req, res) => res.end('plain ' + req.url))
server.on('upgrade', (req, socket, head) => {
	const accept = createHash('sha1').update(req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')
	socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Url: ' + req.url + '\r\nSec-WebSocket-Accept: ' + accept + '\r\n\r\n')
	const send = (op, data) => {
		const n = data.length
		const h = n < 126 ? Buffer.from([0x80 | op, n]) : n < 65536 ? Buffer.from([0x80 | op, 126, n >> 8, n & 255]) : Buffer.alloc(10)
		if (n >= 65536) { h[0] = 0x80 | op; h[1] = 127; h.writeBigUInt64BE(BigInt(n), 2) }
		socket.write(Buffer.concat([h, data]))
	}
	let buf = head
	const take = () => {
		for (;;) {
			if (buf.length < 2) return
			const op = buf[0] & 15
			let n = buf[1] & 127, at = 2
			if (n === 126) { if (buf.length < 4) return; n = buf.readUInt16BE(2); at = 4 }
			else if (n === 127) { if (buf.length < 10) return; n = Number(buf.readBigUInt64BE(2)); at = 10 }
			if (buf.length < at + 4 + n) return
			const mask = buf.subarray(at, at + 4), data = Buffer.from(buf.subarray(at + 4, at + 4 + n))
			for (let i = 0; i < n; i++) data[i] ^= mask[i & 3]
			buf = buf.subarray(at + 4 + n)
			if (op === 8) { send(8, data.subarray(0, 2)); socket.end(); return }
			if (op === 9) { send(10, data); continue }
			if (op === 1 && data.toString() === 'close') { send(8, Buffer.concat([Buffer.from([0x0f, 0xa1]), Buffer.from('as asked')])); continue }
			send(op, data)
		}
	}
	socket.on('data', d => { buf = Buffer.concat([buf, d]); take() })
	take()
})
module.exports = server`

func dialWebSocket(t *testing.T, n *harness.Node, path string) *websocket.Conn {
	t.Helper()
	c, resp, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(n.URL, "http")+path, nil)
	if err != nil {
		t.Fatalf("dial %s: %v", path, err)
	}
	t.Cleanup(func() { c.CloseNow() })
	if id := resp.Header.Get("hearth-request-id"); id == "" {
		t.Errorf("the 101 has no hearth-request-id: %v", resp.Header)
	}
	c.SetReadLimit(4 << 20)
	return c
}

func TestWebSocketEcho(t *testing.T) {
	t.Parallel()
	n := shared(t)
	n.Deploy("ws", "c", "f", webSockets)
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	defer cancel()
	var wg sync.WaitGroup
	for range 4 { // side by side in one instance
		wg.Go(func() {
			c := dialWebSocket(t, n, "/run/ws/c/f/room?q=1")
			large := make([]byte, 1<<20)
			rand.Read(large)
			for _, m := range []struct {
				kind websocket.MessageType
				data []byte
			}{{websocket.MessageText, []byte("hello ü")}, {websocket.MessageBinary, []byte{0, 255, 1}}, {websocket.MessageText, nil},
				{websocket.MessageBinary, large}, {websocket.MessageText, bytes.Repeat([]byte("x"), 70_000)}} {
				if err := c.Write(ctx, m.kind, m.data); err != nil {
					t.Errorf("write: %v", err)
					return
				}
				kind, data, err := c.Read(ctx)
				if err != nil || kind != m.kind || !bytes.Equal(data, m.data) {
					t.Errorf("sent %d bytes of %v, got %d of %v, %v", len(m.data), m.kind, len(data), kind, err)
				}
			}
		})
	}
	wg.Wait()
	if a := n.Call("ws", "c", "f"); a.Text() != "plain /" {
		t.Errorf("a plain request beside it: %d %q", a.Status, a.Body)
	}
}

func TestWebSocketCloseCodes(t *testing.T) {
	t.Parallel()
	n := shared(t)
	n.Deploy("wsclose", "c", "f", webSockets)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()

	// The function closes.
	c := dialWebSocket(t, n, "/run/wsclose/c/f")
	if err := c.Write(ctx, websocket.MessageText, []byte("close")); err != nil {
		t.Fatal(err)
	}
	_, _, err := c.Read(ctx)
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != 4001 || closed.Reason != "as asked" {
		t.Errorf("got %v, want 4001 as asked", err)
	}

	// The client closes: the library returns nil only if its own code came back.
	c = dialWebSocket(t, n, "/run/wsclose/c/f")
	begun := time.Now()
	if err := c.Close(4002, "bye"); err != nil || time.Since(begun) > 4*time.Second {
		t.Errorf("close: %v after %s", err, time.Since(begun))
	}
}

// Functions that take no upgrades say so, and go on.
func TestUpgradeRefused(t *testing.T) {
	t.Parallel()
	n := shared(t)
	n.Deploy("wsno", "c", "f", counter)
	_, resp, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(n.URL, "http")+"/run/wsno/c/f", nil)
	if err == nil || resp == nil || resp.StatusCode != 501 {
		t.Errorf("upgrade of a callback: %v %v", resp, err)
	}
	if a := n.Call("wsno", "c", "f"); a.Status != 200 {
		t.Errorf("the next call: %d %s", a.Status, a.Body)
	}
}
