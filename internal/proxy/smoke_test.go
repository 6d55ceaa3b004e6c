package proxy_test

import (
	"io"
	"net/http"
	"testing"
)

func TestHello(t *testing.T) {
	t.Parallel()
	h := newHouse(serve(t, always(ok("hello"))))
	addr := front(t, h)
	for range 3 {
		res, err := client(t).Get("http://" + addr + "/run/t/c/f/x?y=1")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK || string(b) != "hello" {
			t.Fatalf("GET = %d %q", res.StatusCode, b)
		}
		t.Log(res.Header)
	}
	if n := h.instance.dials.Load(); n != 1 {
		t.Errorf("3 requests dialled %d times, want 1", n)
	}
}
