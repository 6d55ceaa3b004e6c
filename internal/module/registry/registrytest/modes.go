package registrytest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"
)

// Mode answers instead of the honest handler, which it may call.
type Mode func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// Body is a mode that changes the honest body, after gzip was undone. The length and validators are
// those of what it returns.
func Body(change func([]byte) []byte) Mode {
	return func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
		r = r.Clone(r.Context())
		r.Header.Del("Accept-Encoding")
		r.Header.Del("If-None-Match")
		rec := httptest.NewRecorder()
		honest(rec, r)
		body := change(rec.Body.Bytes())
		w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body)
	}
}

// FlipByte changes one bit in the middle.
func FlipByte() Mode {
	return Body(func(b []byte) []byte {
		b = bytes.Clone(b)
		b[len(b)/2] ^= 1
		return b
	})
}

// manifests changes each manifest of a packument, or the document of a version.
func manifests(change func(m map[string]any)) Mode {
	return Body(func(b []byte) []byte {
		var doc map[string]any
		if err := json.Unmarshal(b, &doc); err != nil {
			return b
		}
		versions, ok := doc["versions"].(map[string]any)
		if !ok {
			versions = map[string]any{"": doc}
		}
		for _, m := range versions {
			change(m.(map[string]any))
		}
		b, _ = json.Marshal(doc)
		return b
	})
}

// SwapManifest has every manifest be another package's.
func SwapManifest(name, version string) Mode {
	return manifests(func(m map[string]any) { m["name"], m["version"] = name, version })
}

// WrongIntegrity has every manifest name the sums of other bytes.
func WrongIntegrity() Mode {
	return manifests(func(m map[string]any) {
		dist := m["dist"].(map[string]any)
		dist["integrity"] = Integrity([]byte("other bytes"))
	})
}

// Truncated announces the whole and breaks off in the middle.
func Truncated() Mode {
	return func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
		Body(func(b []byte) []byte { return b })(&half{ResponseWriter: w}, r, honest)
	}
}

type half struct{ http.ResponseWriter }

func (h *half) Write(b []byte) (int, error) {
	_, _ = h.ResponseWriter.Write(b[:len(b)/2])
	_ = http.NewResponseController(h.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

// Short sends half of the body as if it were the whole.
func Short() Mode { return Body(func(b []byte) []byte { return b[:len(b)/2] }) }

// Slow sends the honest body byte by byte, one every interval.
func Slow(every time.Duration) Mode {
	return func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
		rec := httptest.NewRecorder()
		honest(rec, r)
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		for _, c := range rec.Body.Bytes() {
			if _, err := w.Write([]byte{c}); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(every):
			}
		}
	}
}

// Silent never answers.
func Silent() Mode {
	return func(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { <-r.Context().Done() }
}

// Endless sends zeros for as long as they are read.
func Endless() Mode {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		for b := make([]byte, 64<<10); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}
}

// Bomb sends a packument that is small until gzip is undone: size bytes of nothing.
func Bomb(size int64) Mode {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, `{"readme":"`)
		for b := bytes.Repeat([]byte(" "), 64<<10); size > 0; size -= int64(len(b)) {
			if _, err := z.Write(b); err != nil {
				return
			}
		}
		_, _ = io.WriteString(z, `"}`)
		_ = z.Close()
	}
}

// Fail answers the first n requests with a status, and then honestly. n < 0 means all.
func Fail(status, n int) Mode { return FailAfter(status, n, "") }

// FailAfter is Fail with a Retry-After.
func FailAfter(status, n int, retryAfter string) Mode {
	var count atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, honest http.HandlerFunc) {
		if n >= 0 && count.Add(1) > int64(n) {
			honest(w, r)
			return
		}
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		http.Error(w, http.StatusText(status), status)
	}
}

// Redirect sends the client elsewhere.
func Redirect(to string) Mode {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		http.Redirect(w, r, to, http.StatusFound)
	}
}

// Huge pads a packument with so many bytes, in fields of 1 MiB.
func Huge(size int) Mode {
	return insert(func() string {
		field := `"padding":"` + strings.Repeat("x", 1<<20) + `",`
		return strings.Repeat(field, size>>20)
	})
}

// LongValue adds one field of so many bytes to a packument.
func LongValue(size int) Mode {
	return insert(func() string { return `"padding":"` + strings.Repeat("x", size) + `",` })
}

// Deep adds a field of so many nested arrays to a packument.
func Deep(depth int) Mode {
	return insert(func() string {
		return `"deep":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + ","
	})
}

// DuplicateKeys has a packument say its name and versions twice, first wrongly.
func DuplicateKeys() Mode {
	return insert(func() string {
		return `"name":"other","versions":{"6.6.6":{"name":"other","version":"6.6.6","dist":{"tarball":"http://169.254.169.254/x.tgz"}}},"Versions":{},`
	})
}

// insert puts text behind the first brace.
func insert(text func() string) Mode {
	return Body(func(b []byte) []byte { return append([]byte("{"+text()), bytes.TrimPrefix(b, []byte("{"))...) })
}
