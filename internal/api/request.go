package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hearth"
	"hearth/internal/store"
)

// request is a management request whose names, query, headers and body were checked.
type request struct {
	*http.Request
	w http.ResponseWriter

	tenant, container, function, secret string

	query       query
	pre         store.Precondition
	body        *value
	key         string // Idempotency-Key, "" for none
	fingerprint string // stands for all that the request asks for
}

// read checks all of a request that needs no state.
func (a *api) read(w http.ResponseWriter, r *http.Request, op operation) (*request, error) {
	req := &request{Request: r, w: w}
	var f fields
	req.names(&f)
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	req.query = f.query(q, op.query)
	req.conditions(&f, op)
	req.idempotency(&f, op)
	if err := f.err(); err != nil {
		return nil, err
	}
	data, err := a.readBody(w, r, op.body != nil)
	if err != nil {
		return nil, err
	}
	if op.body != nil {
		doc, err := parseJSON(data)
		if err != nil {
			return nil, err
		}
		req.body = doc
	}
	req.sum(data)
	return req, nil
}

const names = "must be lower case letters, digits and inner hyphens, 63 at most"

func (r *request) names(f *fields) {
	for _, part := range []struct {
		name string
		into *string
	}{{"tenant", &r.tenant}, {"container", &r.container}, {"function", &r.function}} {
		*part.into = r.PathValue(part.name)
		if strings.Contains(r.Pattern, "{"+part.name+"}") && !hearth.ValidName(*part.into) {
			f.bad("path."+part.name, names)
		}
	}
	r.secret = r.PathValue("secret")
	if strings.Contains(r.Pattern, "{secret}") && !hearth.ValidSecretName(r.secret) {
		f.bad("path.secret", secretNames)
	}
}

// conditions reads If-Match and If-None-Match of a write. A condition that an operation could not
// hold is refused, since ignoring it would make the write that it forbids.
func (r *request) conditions(f *fields, op operation) {
	if op.Method == http.MethodGet {
		return
	}
	match, none := strings.Join(r.Header.Values("If-Match"), ", "), strings.Join(r.Header.Values("If-None-Match"), ", ")
	switch {
	case match != "" && op.conditions == noConditions:
		f.bad("header.If-Match", "is not taken here")
	case match != "" && !validETags(match):
		f.bad("header.If-Match", `must be * or ETags in quotes, 20 at most`)
	}
	switch {
	case none == "":
	case op.conditions != creates:
		f.bad("header.If-None-Match", "is not taken here")
	case none != "*":
		f.bad("header.If-None-Match", "must be * on a write")
	}
	r.pre = store.Precondition{IfMatch: match, IfNoneMatch: none == "*"}
}

// validETags reports whether s is * or a list of entity tags as RFC 9110 writes them.
func validETags(s string) bool {
	if s == "*" {
		return true
	}
	tags := strings.Split(s, ",")
	if len(tags) > 20 || len(s) > 4096 {
		return false
	}
	return !slices.ContainsFunc(tags, func(tag string) bool {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		return len(tag) < 2 || tag[0] != '"' || tag[len(tag)-1] != '"' || strings.ContainsAny(tag[1:len(tag)-1], "\" \t")
	})
}

func (r *request) idempotency(f *fields, op operation) {
	keys := r.Header.Values("Idempotency-Key")
	if len(keys) == 0 || op.Method == http.MethodGet {
		return
	}
	r.key = keys[0]
	bad := func(c rune) bool { return c <= ' ' || c > '~' }
	if len(keys) > 1 || r.key == "" || len(r.key) > 255 || strings.ContainsFunc(r.key, bad) {
		f.bad("header.Idempotency-Key", "must be 1 to 255 printable ASCII characters without spaces, sent once")
	}
}

// sum makes the fingerprint. The key goes into it and is itself kept as a digest only, so that what
// is stored helps nobody to guess a secret in the body.
func (r *request) sum(body []byte) {
	if r.key == "" {
		return
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q %v ", r.key, r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.pre)
	h.Write(body)
	r.fingerprint = hex.EncodeToString(h.Sum(nil))
	key := sha256.Sum256([]byte("idempotency key " + r.key))
	r.key = hex.EncodeToString(key[:])
}

// readBody reads a JSON body within the bounds of size and idleness, or makes sure that there is none.
func (a *api) readBody(w http.ResponseWriter, r *http.Request, wanted bool) ([]byte, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, unsupported("Content-Encoding", "Bodies are taken as they are, never compressed.")
	}
	most := hearth.LimitDocument.Value
	if !wanted {
		most = 0
	} else if !jsonType(r.Header.Values("Content-Type")) {
		return nil, unsupported("Content-Type", "The body must be JSON in UTF-8, sent as Content-Type: application/json.")
	}
	tooLarge := func() error {
		if !wanted {
			return hearth.Invalid("body", "must be empty: this call takes none")
		}
		return exceeded("body", hearth.CodeTooLarge, hearth.LimitDocument)
	}
	if r.ContentLength > most {
		return nil, tooLarge()
	}
	deadline := http.NewResponseController(w)
	body := http.MaxBytesReader(w, r.Body, most)
	var data bytes.Buffer
	_, err := data.ReadFrom(readerFunc(func(p []byte) (int, error) {
		_ = deadline.SetReadDeadline(time.Now().Add(a.idle)) // unsupported only where a test has no connection
		return body.Read(p)
	}))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, exceeded("body", hearth.CodeRequestTimeout, hearth.LimitBodyIdle)
	case err != nil:
		return nil, malformed("The body could not be read to its end.")
	}
	_ = deadline.SetReadDeadline(time.Time{}) // net/http reads on, to notice when the client goes
	return data.Bytes(), nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func unsupported(header, message string) error {
	return &hearth.Error{Code: hearth.CodeUnsupportedMedia, Message: message, Component: hearth.ComponentRequest,
		Fields: []hearth.FieldError{{Field: "header." + header, Message: message}}}
}

func jsonType(values []string) bool {
	if len(values) != 1 {
		return false
	}
	media, params, err := mime.ParseMediaType(values[0])
	charset := params["charset"]
	return err == nil && media == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8"))
}

// query is the query of a request, checked; absent parameters have their defaults.
type query struct {
	limit     int
	cursor    string
	since     string
	name      string
	pkg       string // NAME@VERSION
	version   int    // 0: not said
	wait      time.Duration
	recursive bool
	refresh   bool
	follow    bool
}

// parseQuery splits a query and refuses what two readers could split in two ways.
func parseQuery(raw string) (url.Values, error) {
	q, err := url.ParseQuery(raw)
	if err != nil || !utf8.ValidString(raw) {
		return nil, badQuery("The query is not well formed.")
	}
	for name, values := range q {
		if !utf8.ValidString(name) || !utf8.ValidString(values[0]) {
			return nil, badQuery("The query is not UTF-8.")
		}
	}
	return q, nil
}

func badQuery(message string) error {
	return &hearth.Error{Code: hearth.CodeMalformed, Message: message, Component: hearth.ComponentRequest,
		Fields: []hearth.FieldError{{Field: "query", Message: message}}}
}

// maxCursor bounds a cursor, in bytes; the store's are far shorter.
const maxCursor = 1024

// maxVersion is more versions than a function can ever get.
const maxVersion = 1e9

// query reads the known parameters.
func (f *fields) query(values url.Values, known []string) query {
	q := query{limit: hearth.LimitListItems.Int()}
	keys := make([]string, 0, len(values))
	for name := range values {
		keys = append(keys, name)
	}
	slices.Sort(keys)
	for _, name := range keys {
		at, v := join("query", name), values[name][0]
		switch {
		case !slices.Contains(known, name):
			f.bad(at, "is not known here; known are: %s", or(known))
			continue
		case len(values[name]) > 1:
			f.bad(at, "stands twice")
			continue
		}
		switch name {
		case "limit":
			q.limit = f.pageSize(v, at)
		case "cursor", "since":
			if v == "" || len(v) > maxCursor {
				f.bad(at, "must be the cursor that an answer gave")
			}
			if name == "cursor" {
				q.cursor = v
			} else {
				q.since = v
			}
		case "name":
			if q.name = v; !validPackage(v) {
				f.bad(at, "is not the name of an npm package")
			}
		case "package":
			q.pkg = v
		case "version":
			q.version = f.versionNumber(v, at)
		case "wait":
			q.wait = f.wait(v, at)
		case "refresh":
			q.refresh = f.flag(v, at)
		case "recursive":
			q.recursive = f.flag(v, at)
		case "follow":
			q.follow = f.flag(v, at)
		}
	}
	return q
}

func (f *fields) pageSize(s, at string) int {
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' || n > 1e6 {
			f.bad(at, "must be a whole number from 1 to %d", hearth.LimitListItems.Value)
			return 1
		}
		n = n*10 + int(c-'0')
	}
	switch {
	case n < 1:
		f.bad(at, "must be a whole number from 1 to %d", hearth.LimitListItems.Value)
	case int64(n) > hearth.LimitListItems.Value:
		f.over(at, hearth.LimitListItems)
	}
	return n
}

func (f *fields) versionNumber(s, at string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxVersion || strconv.Itoa(n) != s {
		f.bad(at, "must be the number of a version")
	}
	return n
}

func (f *fields) wait(s, at string) time.Duration {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil || d < 0:
		f.bad(at, "must be a duration such as 30s, %s at most", hearth.LimitWait.Text())
	case d > hearth.LimitWait.Duration():
		f.over(at, hearth.LimitWait)
	}
	return d
}

func (f *fields) flag(s, at string) bool {
	if s != "true" && s != "false" {
		f.bad(at, "must be true or false")
	}
	return s == "true"
}
