package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/internal/proxy"
)

const askUpgrade = "GET /run/t/c/f/ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\n"

// upgrades answers 101 with bytes right behind it, then echoes; at the client's end it says bye.
func upgrades(c net.Conn, r *bufio.Reader) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	if req.Header.Get("Upgrade") == "" {
		io.WriteString(c, ok("no upgrade"))
		return
	}
	io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+req.Header.Get("Upgrade")+"\r\nX-A: b\r\nHearth-X: 1\r\n\r\nwelcome")
	io.Copy(c, r)
	io.WriteString(c, "bye")
}

func dialUpgrade(t *testing.T, addr, request string) (net.Conn, *bufio.Reader, string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	io.WriteString(c, request)
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	r := bufio.NewReader(c)
	var head strings.Builder
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("header %q: %v", head.String(), err)
		}
		head.WriteString(line)
	}
	return c, r, head.String()
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, upgrades))
	h.route.Manifest.TimeoutMS = 200 // no limit of an upgraded connection
	c, r, head := dialUpgrade(t, front(t, h), askUpgrade+"early")
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "Upgrade: echo\r\n") || !strings.Contains(head, "Connection: Upgrade\r\n") ||
		!strings.Contains(head, "X-A: b\r\n") || strings.Contains(head, "Hearth-X") || !strings.Contains(head, "Hearth-Request-Id: ") {
		t.Errorf("header %q", head)
	}
	time.Sleep(300 * time.Millisecond)
	for i := range 3 {
		fmt.Fprintf(c, "-%d", i)
	}
	c.(*net.TCPConn).CloseWrite() // what is on its way back still comes
	if all, err := io.ReadAll(r); string(all) != "welcomeearly-0-1-2bye" || err != nil {
		t.Errorf("read %q %v", all, err)
	}
	if call, outcome := h.call(t); call.Status != 101 || outcome != proxy.Done {
		t.Errorf("recorded %+v, %v", call, outcome)
	}
}

func TestUpgradeEndsWithTheClient(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{}, 1)
	h := newHouse(serve(t, func(c net.Conn, r *bufio.Reader) {
		upgrades(c, r)
		ended <- struct{}{}
	}))
	c, _, _ := dialUpgrade(t, front(t, h), askUpgrade)
	c.Close()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the function did not learn that the client went")
	}
	h.call(t)
}

func TestUpgradesThatAreNone(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, upgrades))
	addr := front(t, h)
	for name, request := range map[string]string{
		"h2c":           "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
		"not listed":    "Upgrade: websocket\r\n",
		"HTTP":          "Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n",
		"with a length": "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n",
	} {
		body := ""
		if strings.Contains(request, "Length") {
			body = "hi"
		}
		status, got := first(t, addr, "GET /run/t/c/f HTTP/1.1\r\nHost: h\r\n"+request+"\r\n"+body)
		if status != 200 || got != "no upgrade" {
			t.Errorf("%s: %d %q, want a plain answer", name, status, got)
		}
	}
}

func TestUpgradeRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, always("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")))
	if status, got := first(t, front(t, h), askUpgrade); status != 403 || got != "no" {
		t.Errorf("answer %d %q, want the function's 403", status, got)
	}
	other := newHouse(serve(t, always("HTTP/1.1 101 X\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n")))
	if status, got := first(t, front(t, other), askUpgrade); status != 502 {
		t.Errorf("an upgrade to something else: %d %q, want 502", status, got)
	}
}

func TestStopEndsUpgrades(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, upgrades))
	addr, stop := frontUntil(t, h, func(_ *proxy.Config, s *proxy.ServerConfig) { s.Drain = time.Millisecond })
	_, r, _ := dialUpgrade(t, addr, askUpgrade)
	stop() // returns when all requests have
	if all, err := io.ReadAll(r); string(all) != "welcome" {
		t.Errorf("read %q %v, want the end", all, err)
	}
}
