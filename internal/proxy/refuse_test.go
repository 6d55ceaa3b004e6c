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
)

// What net/http refuses is a problem, also behind a good request on the same connection.
func TestUnreadableRequests(t *testing.T) {
	t.Parallel()
	addr := front(t, newHouse(serve(t, echo)))
	const good = "GET /run/t/c/f HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, before := range []string{"", good, good + good} {
		for request, status := range map[string]int{
			"G@T /run/t/c/f HTTP/1.1\r\nHost: a\r\n\r\n":                                      400,
			"GET /run/t/c/f HTTP/1.1\r\n\r\n":                                                 400,
			"GET /run/t/c/f HTTP/9.9\r\nHost: a\r\n\r\n":                                      505,
			"GET /run/t/c/f HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n":                       417,
			"GET /run/t/c/f HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n":           501,
			"GET /run/t/c/f HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 1<<18) + "\r\n": 431,
		} {
			got := raw(t, addr, before+request, 5*time.Second)
			if n := strings.Count(before, "GET"); strings.Count(got, "HTTP/1.1 200 ") != n {
				t.Errorf("%d good requests before, and got %.300q", n, got)
			}
			last := got[strings.LastIndex(got, "HTTP/1.1 "):]
			res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(last)), nil)
			if err != nil {
				t.Fatalf("%v in %.300q", err, last)
			}
			body, err := io.ReadAll(res.Body)
			id := res.Header.Get("Hearth-Request-Id")
			if res.StatusCode != status || err != nil || !res.Close || id == "" || !strings.Contains(string(body), fmt.Sprintf(`"instance":%q`, id)) {
				t.Errorf("%.60q: %.400q, %v; want a problem with %d", request, last, err, status)
			}
		}
	}
}

// A function may stream text that looks like a refusal of net/http's: it is not ours to change.
func TestAnswersLikeRefusalsStay(t *testing.T) {
	t.Parallel()
	const text = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
	const other = "HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	addr := front(t, newHouse(serve(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			if req.URL.Path == "/417" {
				_, _ = io.WriteString(c, other)
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 3*len(text))
			for range 3 { // each leaves in a write of its own
				time.Sleep(20 * time.Millisecond)
				_, _ = io.WriteString(c, text)
			}
		}
	})))
	cl := &http.Client{Transport: &http.Transport{}}
	defer cl.CloseIdleConnections()
	for range 2 {
		res, err := cl.Get("http://" + addr + "/run/t/c/f")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if string(body) != strings.Repeat(text, 3) || err != nil {
			t.Errorf("%q, %v", body, err)
		}
	}
	res, err := cl.Get("http://" + addr + "/run/t/c/f/417")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 417 || res.Header.Get("Content-Type") != "" {
		t.Errorf("the function's own 417: %v", res.Header)
	}
}
