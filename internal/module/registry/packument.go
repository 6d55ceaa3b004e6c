package registry

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"hearth"
)

const (
	mostFull  = 256 << 20        // the long document, which has every README; only parts of it are kept
	large     = 8 << 20          // from here on one at a time, since it is in memory while it is read
	freshTime = 60 * time.Second // where the registry does not say
	blindTime = 5 * time.Minute  // where it has no validators either, so that asking is fetching
	staleTime = 5 * time.Second  // how long a registry is waited for when there is a copy
	awayTime  = 10 * time.Second // how long it is not asked then
)

// Want says which packument is asked for.
type Want struct {
	Full  bool      // with the times of publication, which only the long document has
	Since time.Time // what the registry said before this counts as old
}

// Document is what a registry says of all versions of a package, reduced to what npm resolves by.
type Document struct {
	Asked time.Time // when the registry said so
	Stale bool      // it is away, and this is what it said before

	body []byte // tarballs are below placeholder
}

// Packument returns what the registry says of a package. Errors are *hearth.Error, or the context's.
func (r *Registry) Packument(ctx context.Context, name string, want Want) (Document, error) {
	if !ValidName(name) {
		return Document{}, hearth.Errorf(hearth.CodeInvalid, "%.220q is not the name of an npm package", name)
	}
	if r.options.Cache == nil {
		s, body, err := r.ask(ctx, name, want.Full, nil, nil, r.retry)
		return Document{Asked: s.Asked, body: body}, r.explain(ctx, name, err)
	}
	c, key := r.options.Cache, r.key(name, want.Full)
	end, err := c.begin(ctx, key)
	if err != nil {
		return Document{}, r.explain(ctx, name, err)
	}
	defer end()
	old, body := c.read(key)
	now := r.now()
	switch {
	case old != nil && now.Before(old.Expires) && !old.Asked.Before(want.Since):
		r.options.Hooks.cache("fresh")
		return Document{Asked: old.Asked, body: body}, nil
	case old != nil && now.UnixNano() < r.away.Load():
		r.options.Hooks.cache("stale")
		return Document{Asked: old.Asked, Stale: true, body: body}, nil
	}
	s, fetched, err := r.renew(ctx, name, want.Full, old, body)
	var f *fault
	switch {
	case err == nil:
		r.away.Store(0)
		if !s.Expires.IsZero() {
			// A full disk makes it slower, not wrong.
			_ = c.write(key, s, fetched)
		}
		return Document{Asked: s.Asked, body: fetched}, nil
	case !errors.As(err, &f) || ctx.Err() != nil:
	case f.reason == "package_missing", f.reason == "registry_denied":
		c.drop(key)
	case old != nil && f.reason == "registry_unreachable":
		r.away.Store(r.now().Add(max(awayTime, min(f.after, mostWait))).UnixNano())
		r.options.Hooks.cache("stale")
		return Document{Asked: old.Asked, Stale: true, body: body}, nil
	}
	return Document{}, r.explain(ctx, name, err)
}

// renew asks the registry. Where there is a copy it asks once and briefly: a resolver waits for it.
func (r *Registry) renew(ctx context.Context, name string, full bool, old *stored, body []byte) (stored, []byte, error) {
	if old == nil {
		return r.ask(ctx, name, full, nil, nil, r.retry)
	}
	return r.ask(ctx, name, full, old, body, func(ctx context.Context, try func(context.Context) error) error {
		short, cancel := context.WithTimeout(ctx, min(staleTime, r.options.Header))
		defer cancel()
		err := try(short)
		if err != nil && ctx.Err() == nil && short.Err() != nil {
			return &fault{reason: "registry_unreachable", err: err}
		}
		return err
	})
}

// key names an entry of the cache. What one credential was shown, another does not see.
func (r *Registry) key(name string, full bool) string {
	hash := sha256.New()
	for _, part := range []string{"1", r.options.Tenant, r.URL(), r.auth, strconv.FormatBool(full), name} {
		sum := sha256.Sum256([]byte(part))
		hash.Write(sum[:])
	}
	return hex.EncodeToString(hash.Sum(nil))
}

func (r *Registry) ask(ctx context.Context, name string, full bool, old *stored, kept []byte, attempt func(context.Context, func(context.Context) error) error) (s stored, body []byte, err error) {
	headers := map[string]string{"Accept": "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8", "Accept-Encoding": "gzip"}
	most := int64(mostPackument)
	if full {
		headers["Accept"], most = "application/json", mostFull
	}
	if old != nil && old.ETag != "" {
		headers["If-None-Match"] = old.ETag
	}
	if old != nil && old.Modified != "" {
		headers["If-Modified-Since"] = old.Modified
	}
	target, err := url.Parse(r.URL() + strings.ReplaceAll(name, "/", "%2f")) // as npm spells a scoped name
	if err != nil {
		return s, nil, final("registry_answer", "make the URL of %q: %w", name, err)
	}
	err = attempt(ctx, func(ctx context.Context) error {
		res, err := r.get(ctx, "packument", target, headers, most)
		if err != nil {
			return err
		}
		s = stored{Name: name, Asked: r.now(), ETag: validator(res.header, "ETag"), Modified: validator(res.header, "Last-Modified")}
		usual := freshTime
		if s.ETag == "" && s.Modified == "" && !res.unchanged {
			usual = blindTime
		}
		if fresh, store := freshness(res.header, usual, r.options.Fresh); store {
			s.Expires = s.Asked.Add(fresh)
		}
		if res.unchanged {
			if old == nil {
				return final("registry_answer", "get %s: not modified", target)
			}
			if s.ETag == "" {
				s.ETag = old.ETag
			}
			if s.Modified == "" {
				s.Modified = old.Modified
			}
			body = kept
			r.options.Hooks.cache("unchanged")
			return nil
		}
		defer res.body.Close()
		if body, err = r.readPackument(ctx, res, most, name); err != nil {
			return err
		}
		r.options.Hooks.cache("fetched")
		return nil
	})
	return s, body, err
}

// readPackument undoes gzip and reduces the document.
func (r *Registry) readPackument(ctx context.Context, res *answer, most int64, name string) ([]byte, error) {
	var in io.Reader = res.body
	switch res.header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(res.body)
		if err != nil {
			return nil, answerFault("read the answer", asAnswer(err))
		}
		in = z
	default:
		return nil, final("registry_answer", "the document of %q is encoded in a way that was not asked for", name)
	}
	limited := &largeReader{ctx: ctx, in: in, left: most, turn: r.large}
	defer limited.release()
	p, err := readPackument(limited, name)
	if err != nil {
		return nil, answerFault("read the document", asAnswer(err))
	}
	return p.encode(), nil
}

// asAnswer tells what the registry said wrongly from what did not come: a broken document will be the
// same when it is asked for again, a broken connection not.
func asAnswer(err error) error {
	var f *fault
	if errors.As(err, &f) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errStalled) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var broken *brokenDocument
	if errors.As(err, &broken) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) {
		return final("registry_answer", "%w", err)
	}
	return err
}

// largeReader bounds a document after it was unpacked, and lets only one large one in at a time.
type largeReader struct {
	ctx  context.Context // of the request
	in   io.Reader
	left int64
	done int64
	turn chan struct{}
	held bool
}

func (l *largeReader) Read(p []byte) (int, error) {
	if l.done > large && !l.held {
		select {
		case l.turn <- struct{}{}:
			l.held = true
		case <-l.ctx.Done():
			return 0, context.Cause(l.ctx)
		}
	}
	n, err := l.in.Read(p)
	l.done += int64(n)
	if l.left -= int64(n); l.left < 0 {
		return 0, final("registry_answer", "the document is longer than it may be")
	}
	return n, err
}

func (l *largeReader) release() {
	if l.held {
		<-l.turn
	}
}

// validator returns a header that goes back to the registry, if it is of a sane length.
func validator(h http.Header, name string) string {
	if v := h.Get(name); len(v) <= 1024 {
		return v
	}
	return ""
}

// freshness reads Cache-Control, RFC 9111: how long an answer may be given again unasked, usually
// usual and at most most, and whether it may be kept at all.
func freshness(h http.Header, usual, most time.Duration) (fresh time.Duration, store bool) {
	fresh = usual
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store":
			return 0, false
		case "no-cache":
			return 0, true
		case "max-age":
			if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				fresh = time.Duration(n) * time.Second
			}
		}
	}
	return min(fresh, most), true
}
