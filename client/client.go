package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds an answer, in bytes: the largest is a page of 100 functions with 64 KiB of config each.
const maxAnswer = 32 << 20

// Config says which Hearth to call, and as whom.
type Config struct {
	URL   string       // "https://hearth.example", with or without a path before /v1
	Token string       // white space around it is cut off, since it mostly comes from a file
	HTTP  *http.Client // nil: one of its own. Its redirects are never followed
}

// Client calls one Hearth. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token func() string // a closure, since fmt prints unexported strings
	http  *http.Client
	retry func(try int) time.Duration // how long a follower waits before it connects again
}

// New checks the configuration; it does not call anything.
func New(c Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(c.URL, "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("the URL of Hearth must look like http://127.0.0.1:8080, not %.200q", c.URL)
	}
	token := strings.TrimSpace(c.Token)
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token has characters that no token has")
	}
	own := http.Client{}
	if c.HTTP != nil {
		own = *c.HTTP
	}
	// A redirect would take the token elsewhere; the API has none.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: base, token: func() string { return token }, http: &own, retry: backOff}, nil
}

// Option changes a write.
type Option func(*http.Request)

// IfMatch makes a write only if the object still has this ETag; "*" if it exists.
func IfMatch(etag string) Option { return header("If-Match", etag) }

// IfNoneMatch makes a write only if there is no such object yet.
func IfNoneMatch() Option { return header("If-None-Match", "*") }

// IdempotencyKey makes a write once: within 24 hours the same key gets the same answer.
func IdempotencyKey(key string) Option { return header("Idempotency-Key", key) }

func header(name, value string) Option {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// Refresh makes PutFunction resolve the dependencies again, though nothing changed.
func Refresh() Option {
	return func(r *http.Request) {
		q := r.URL.Query()
		q.Set("refresh", "true")
		r.URL.RawQuery = q.Encode()
	}
}

// Meta is what the header of an answer said.
type Meta struct {
	ETag      string // for IfMatch; empty in lists and for secrets
	Created   bool   // the object is new
	RequestID string // names the request in Hearth's log
}

// path makes the path of an object; each part is escaped.
func path(parts ...string) string {
	var b strings.Builder
	b.WriteString("/v1")
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// request makes a request with body as JSON; nil is no body.
func (c *Client) request(ctx context.Context, method, path string, query url.Values, body any, opts []Option) (*http.Request, error) {
	target := c.base.String() + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var content io.Reader
	if body != nil {
		data, err := encode(body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		content = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token := c.token(); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, o := range opts {
		o(r)
	}
	return r, nil
}

// call makes one call and decodes its answer into out, which may be nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body, out any, opts ...Option) (Meta, error) {
	r, err := c.request(ctx, method, path, query, body, opts)
	if err != nil {
		return Meta{}, err
	}
	res, err := c.http.Do(r)
	if err != nil {
		return Meta{}, fmt.Errorf("call Hearth: %w", err) // its text names method and URL
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return Meta{}, fmt.Errorf("read answer: %w", err)
	case len(data) > maxAnswer:
		return Meta{}, fmt.Errorf("read answer: it is larger than %d MiB", maxAnswer>>20)
	case res.StatusCode < 200 || res.StatusCode > 299:
		return Meta{}, newError(res, data)
	}
	meta := Meta{ETag: res.Header.Get("ETag"), Created: res.StatusCode == http.StatusCreated, RequestID: res.Header.Get("Hearth-Request-Id")}
	if out == nil {
		return meta, nil
	}
	if media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); media != "application/json" {
		return meta, fmt.Errorf("read answer: %s does not answer like Hearth (content type %.100q)", c.base.Host, media)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return meta, fmt.Errorf("decode answer: %w", err)
	}
	return meta, nil
}

// encode is json.Marshal without the escapes that HTML needs: code is full of < and &.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
