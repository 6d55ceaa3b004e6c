package registry

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"hearth"
)

const (
	connectTime = 15 * time.Second
	headerTime  = 60 * time.Second // a mirror may fetch a package itself before it answers
	stallTime   = 60 * time.Second // without a byte of a body
	idleTime    = 30 * time.Second
	npmTime     = 30 * time.Second // npm takes 0.3 s, more on a machine that just booted

	tries     = 3
	backoff   = time.Second      // doubled after each try
	mostWait  = 60 * time.Second // of a Retry-After
	redirects = 5

	// MostTarball bounds a tarball, in bytes. Node.js has 32 MB; next to it the largest packages have about 100.
	MostTarball   = 256 << 20
	mostVersion   = 4 << 20  // the document of one version
	mostPackument = 64 << 20 // the short document of all versions
)

// Fetch downloads the tarball of name@version into file, from its beginning, and leaves file at its
// beginning. integrity is the Subresource Integrity text that the tarball must have; only its sha512
// counts. It tries three times; progress, which may be nil, is called often with the bytes of the
// present try and of the whole (-1: unknown). Errors are *hearth.Error of CodeUnavailable, or the
// context's.
func (r *Registry) Fetch(ctx context.Context, name, version, integrity string, file *os.File, progress func(done, total int64)) error {
	if !ValidName(name) || !validVersion.MatchString(version) {
		return hearth.Errorf(hearth.CodeInvalid, "%.220q at %.100q is not an npm package at an exact version", name, version)
	}
	sums := sha512s(integrity)
	if len(sums) == 0 {
		return hearth.Errorf(hearth.CodeInvalid, "%s@%s has no sha512 integrity", name, version)
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	var target *url.URL
	err := r.retry(ctx, func(ctx context.Context) (err error) {
		target, err = r.tarball(ctx, name, version, sums)
		return err
	})
	if err == nil {
		err = r.retry(ctx, func(ctx context.Context) error { return r.download(ctx, target, sums, file, progress) })
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	return r.explain(ctx, name+"@"+version, err)
}

// fault is a failed try.
type fault struct {
	reason string // of the hearth.Error
	status int    // 0 when there was no answer
	final  bool   // another try would end the same
	after  time.Duration
	err    error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func final(reason, format string, args ...any) error {
	return &fault{reason: reason, final: true, err: fmt.Errorf(format, args...)}
}

// explain turns a fault into what a person reads.
func (r *Registry) explain(ctx context.Context, what string, err error) error {
	var f *fault
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("fetch %s from %s: %w", what, r.URL(), context.Cause(ctx))
	case !errors.As(err, &f):
		return fmt.Errorf("fetch %s from %s: %w", what, r.URL(), err) // the file's own error
	}
	out := &hearth.Error{Code: hearth.CodeUnavailable, Component: hearth.ComponentPlatform, Reason: f.reason, RetryAfter: f.after, Cause: f.err}
	advice := "--npm-registry"
	if r.private {
		advice = "the scope's URL"
	}
	switch f.reason {
	case "package_missing":
		out.Message = fmt.Sprintf("the npm registry %s does not have %s", r.URL(), what)
		if !r.private {
			out.Message += "; name one that has it with --npm-registry"
		}
	case "registry_denied":
		out.Message = fmt.Sprintf("the npm registry %s refuses %s (status %d); check the credentials for it in ~/.npmrc", r.URL(), what, f.status)
		if r.private {
			out.Message = fmt.Sprintf("the npm registry %s refuses %s (status %d); check the token of its scope", r.URL(), what, f.status)
		}
	case "integrity":
		out.Message = fmt.Sprintf("the npm registry %s serves another %s than the one that was asked for; nothing of it was used; check %s", r.URL(), what, advice)
	case "registry_answer":
		out.Message = fmt.Sprintf("the npm registry %s gives no usable answer for %s; check %s", r.URL(), what, advice)
	default:
		out.Message = fmt.Sprintf("the npm registry %s cannot be reached for %s; check the network and %s, then try again", r.URL(), what, advice)
	}
	return out
}

// retry calls try until it succeeds, at most three times.
func (r *Registry) retry(ctx context.Context, try func(context.Context) error) error {
	wait := backoff
	for n := 1; ; n++ {
		err := try(ctx)
		var f *fault
		if err == nil || !errors.As(err, &f) || f.final || n == tries || ctx.Err() != nil {
			return err
		}
		// Half of the wait is drawn by chance, so that many nodes do not come back at once.
		pause := max(wait/2+rand.N(wait/2), min(f.after, mostWait))
		if end, ok := ctx.Deadline(); ok && time.Until(end) < pause {
			return err // says more than that the time is up
		}
		if err := r.wait(ctx, pause); err != nil {
			return err
		}
		wait *= 2
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// manifest is what concerns us of a version's document.
type manifest struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Dist    struct {
		Tarball   string `json:"tarball"`
		Integrity string `json:"integrity"`
	} `json:"dist"`
}

// tarball asks for the version's document, or, where a registry has none for a single version, for
// that of the package, and returns where the tarball is.
func (r *Registry) tarball(ctx context.Context, name, version string, sums [][]byte) (*url.URL, error) {
	escaped := strings.ReplaceAll(name, "/", "%2f") // as npm spells a scoped name
	var m manifest
	err := r.document(ctx, escaped+"/"+version, "application/json", mostVersion, &m)
	var f *fault
	if errors.As(err, &f) && (f.status == http.StatusNotFound || f.status == http.StatusMethodNotAllowed) {
		var all struct {
			Versions map[string]manifest `json:"versions"`
		}
		err = r.document(ctx, escaped, "application/vnd.npm.install-v1+json", mostPackument, &all)
		if err == nil && all.Versions[version].Version == "" {
			return nil, final("package_missing", "no version %s among %d", version, len(all.Versions))
		}
		m = all.Versions[version]
	}
	if err != nil {
		return nil, err
	}
	if m.Name != name || m.Version != version {
		return nil, final("registry_answer", "asked for %s@%s, got the document of %.220q@%.100q", name, version, m.Name, m.Version)
	}
	if theirs := sha512s(m.Dist.Integrity); len(theirs) > 0 && !overlap(sums, theirs) {
		return nil, final("integrity", "the document has integrity %.300q", m.Dist.Integrity)
	}
	target, err := r.rewrite(m.Dist.Tarball)
	if err != nil {
		return nil, final("registry_answer", "tarball %.300q: %w", m.Dist.Tarball, err)
	}
	return target, nil
}

// rewrite returns the tarball's URL at our own registry. Mirrors hand on documents whose tarballs lie
// at the host they were copied from; that path below the mirror's own URL is the same file.
func (r *Registry) rewrite(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL")
	case u.Path == "" || u.Opaque != "":
		return nil, errors.New("it has no path")
	case strings.Contains("/"+u.Path+"/", "/../"):
		return nil, errors.New("its path leaves the registry")
	}
	out := *r.base
	if u.Host == r.base.Host || strings.HasPrefix(u.Path, r.base.Path) {
		out.Path, out.RawPath = u.Path, u.RawPath
	} else {
		out = *r.base.JoinPath(u.EscapedPath())
	}
	out.RawQuery = u.RawQuery
	return &out, nil
}

// document gets a JSON document below the registry's URL.
func (r *Registry) document(ctx context.Context, escaped, accept string, most int64, into any) error {
	target, err := url.Parse(r.URL() + escaped)
	if err != nil {
		return final("registry_answer", "make the URL of %q: %w", escaped, err)
	}
	res, err := r.get(ctx, "version", target, map[string]string{"Accept": accept}, most)
	if err != nil {
		return err
	}
	defer res.body.Close()
	text, err := io.ReadAll(res.body)
	if err != nil {
		return answerFault("read the answer", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return final("registry_answer", "parse the document of %q: %w", escaped, err)
	}
	return nil
}

// download streams the tarball into file.
func (r *Registry) download(ctx context.Context, target *url.URL, sums [][]byte, file *os.File, progress func(done, total int64)) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return r.stream(ctx, target, sums, file, progress)
}

// stream writes the tarball to w. What it wrote counts only when it returns nil.
func (r *Registry) stream(ctx context.Context, target *url.URL, sums [][]byte, w io.Writer, progress func(done, total int64)) error {
	res, err := r.get(ctx, "tarball", target, map[string]string{"Accept": "application/octet-stream, */*"}, r.most)
	if err != nil {
		return err
	}
	defer res.body.Close()
	hash := sha512.New()
	buf := make([]byte, 32<<10)
	for done := int64(0); ; {
		n, err := res.body.Read(buf)
		hash.Write(buf[:n])
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		done += int64(n)
		progress(done, res.size)
		if err == io.EOF {
			break
		}
		if err != nil {
			return answerFault("read the answer", err)
		}
	}
	if !overlap(sums, [][]byte{hash.Sum(nil)}) {
		return final("integrity", "the tarball has sha512-%s", base64.StdEncoding.EncodeToString(hash.Sum(nil)))
	}
	return nil
}

// answer is a 200, or a 304 without a body.
type answer struct {
	body      io.ReadCloser // nil when unchanged
	size      int64         // -1: unknown
	header    http.Header
	unchanged bool
}

// get sends one request and returns the answer, whose body fails past most bytes and when it comes
// too slowly. kind is for the hooks. headers may have validators; without them a 304 is a fault.
func (r *Registry) get(ctx context.Context, kind string, target *url.URL, headers map[string]string, most int64) (_ *answer, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	status := 0
	defer func() {
		r.options.Hooks.request(kind, status)
		if err != nil {
			cancel(nil)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, final("registry_answer", "make a request for %s: %w", target, err)
	}
	req.Header.Set("User-Agent", "hearth")
	validators := false
	for name, value := range headers {
		req.Header.Set(name, value)
		validators = validators || strings.HasPrefix(name, "If-")
	}
	if r.auth != "" && strings.HasPrefix(target.Path, r.authPath) { // target is always at our registry's host
		req.Header.Set("Authorization", r.auth)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil, answerFault("get", err)
	}
	status = res.StatusCode
	if status == http.StatusNotModified && validators {
		err = res.Body.Close()
		cancel(nil)
		return &answer{header: res.Header, unchanged: true}, err
	}
	if err := statusFault(target, res); err != nil {
		_ = res.Body.Close()
		return nil, err
	}
	if res.ContentLength > most {
		_ = res.Body.Close()
		return nil, final("registry_answer", "get %s: %d bytes, more than %d", target, res.ContentLength, most)
	}
	body := &boundedBody{ctx: ctx, cancel: cancel, body: res.Body, most: most, left: most, stall: r.stall, count: r.options.Hooks.bytes}
	body.stalled = time.AfterFunc(r.stall, func() { cancel(errStalled) })
	body.stalled.Stop()
	return &answer{body: body, size: res.ContentLength, header: res.Header}, nil
}

var errStalled = errors.New("no byte comes any more")

// slowest is the rate, in bytes a second, below which a body is given up once it had the time of a
// stall: one byte a second is never silent, and would hold its reader for years.
const slowest = 1 << 10

// boundedBody belongs to one goroutine. It ends the request with its Close.
type boundedBody struct {
	ctx     context.Context // of the request
	cancel  context.CancelCauseFunc
	body    io.ReadCloser
	most    int64
	left    int64
	stall   time.Duration
	waited  time.Duration // for bytes
	stalled *time.Timer
	count   func(int64)
}

func (b *boundedBody) Read(p []byte) (int, error) {
	// The clock runs only in here: a reader that is busy elsewhere is not the registry's fault.
	patience := b.stall + time.Duration(b.most-b.left)*time.Second/slowest
	b.stalled.Reset(max(0, min(b.stall, patience-b.waited)))
	began := time.Now()
	n, err := b.body.Read(p)
	b.stalled.Stop()
	b.waited += time.Since(began)
	b.left -= int64(n)
	b.count(int64(n))
	switch {
	case b.left < 0:
		return 0, final("registry_answer", "the answer is longer than it may be")
	case err != nil && err != io.EOF && context.Cause(b.ctx) == errStalled:
		return n, errStalled
	}
	return n, err
}

func (b *boundedBody) Close() error {
	b.stalled.Stop()
	b.cancel(nil)
	return b.body.Close()
}

// answerFault is the fault of an answer that did not come, or not to its end.
func answerFault(verb string, err error) error {
	var f *fault
	if errors.As(err, &f) { // of checkRedirect or boundedBody
		return f
	}
	return &fault{reason: "registry_unreachable", err: fmt.Errorf("%s: %w", verb, err)}
}

func statusFault(target *url.URL, res *http.Response) error {
	err := fmt.Errorf("get %s: status %d", target, res.StatusCode)
	switch s := res.StatusCode; {
	case s == http.StatusOK:
		return nil
	case s == http.StatusNotFound, s == http.StatusMethodNotAllowed, s == http.StatusGone:
		return &fault{reason: "package_missing", status: s, final: true, err: err}
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return &fault{reason: "registry_denied", status: s, final: true, err: err}
	case s == http.StatusTooManyRequests, s == http.StatusRequestTimeout, s >= 500:
		return &fault{reason: "registry_unreachable", status: s, after: retryAfter(res.Header.Get("Retry-After")), err: err}
	default:
		return &fault{reason: "registry_answer", status: s, final: true, err: err}
	}
}

// retryAfter reads both forms of RFC 9110, section 10.2.3; 0 for anything else.
func retryAfter(text string) time.Duration {
	if s, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// checkRedirect keeps every request at the registry's own host: behind it might be the metadata
// service of a cloud, and Go hands the credentials on to subdomains.
func (r *Registry) checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > redirects:
		return final("registry_answer", "more than %d redirects", redirects)
	case req.URL.Host != r.base.Host, req.URL.Scheme != r.base.Scheme:
		return final("registry_answer", "redirected to another host, %.200q", req.URL.Host)
	case !strings.HasPrefix(req.URL.Path, r.authPath):
		req.Header.Del("Authorization")
	}
	return nil
}

// sha512s returns the sha512 sums of a Subresource Integrity text.
func sha512s(integrity string) (sums [][]byte) {
	for _, field := range strings.Fields(integrity) {
		text, ok := strings.CutPrefix(field, "sha512-")
		text, _, _ = strings.Cut(text, "?") // options
		if sum, err := base64.StdEncoding.DecodeString(text); ok && err == nil && len(sum) == sha512.Size {
			sums = append(sums, sum)
		}
	}
	return sums
}

func overlap(a, b [][]byte) bool {
	for _, x := range a {
		for _, y := range b {
			if bytes.Equal(x, y) {
				return true
			}
		}
	}
	return false
}

// npm's rules for names (old ones have capitals), and the exact versions of Semantic Versioning.
var (
	nameForm     = regexp.MustCompile(`^(@[A-Za-z0-9~-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*$`)
	validVersion = regexp.MustCompile(`^[0-9]{1,16}\.[0-9]{1,16}\.[0-9]{1,16}(-[0-9A-Za-z.-]{1,100})?(\+[0-9A-Za-z.-]{1,100})?$`)
)

// ValidName says whether an npm package may have this name.
func ValidName(name string) bool {
	return len(name) <= 214 && name != "-" && nameForm.MatchString(name)
}
