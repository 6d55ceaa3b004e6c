package builder

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"hearth"
)

// Bounds on what is read of an answer.
const (
	mostHeader  = 16 << 10
	mostAnswer  = 64 << 10 // of one without a lock
	mostLock    = 32 << 20 // bytes; 600 packages need 0.4 MB
	mostLine    = 64 << 10 // bytes of a JSON document in the stream of a build; the driver cuts at 4 KiB of text
	mostMessage = 16 << 10
	lineCost    = 16 // bytes of LimitBuildOutput that a line takes beside its text, as the driver counts
)

// Refusal is what npm, or the driver, said instead of an answer.
type Refusal struct {
	Status  int
	Code    string // npm's, for example "ERESOLVE", "E404"
	Message string // npm's words, of several lines, printable
}

// Error returns npm's words.
func (r *Refusal) Error() string { return r.Message }

// ErrEnded says that the sandbox ended, or spoke nonsense, in the middle of a call.
var ErrEnded = errors.New("the build sandbox ended before its answer did")

// LockRequest is a manifest to resolve.
type LockRequest struct {
	Package json.RawMessage // package.json
	Lock    json.RawMessage // a package-lock.json to begin with, or nil
	Before  time.Time       // only versions that are older, unless zero
}

// Preload has npm loaded ahead of Lock, which is then quicker.
func (d *Driver) Preload(ctx context.Context) error { return d.plain(ctx, "POST", "/preload", nil) }

// Lock resolves a manifest as npm does and returns package-lock.json as npm wrote it. What npm says
// against the manifest is a *Refusal with status 422.
func (d *Driver) Lock(ctx context.Context, q LockRequest) (json.RawMessage, error) {
	doc := struct {
		Package json.RawMessage `json:"package"`
		Lock    json.RawMessage `json:"lock,omitempty"`
		Before  string          `json:"before"`
	}{Package: q.Package, Lock: q.Lock}
	if !q.Before.IsZero() {
		doc.Before = q.Before.UTC().Format(time.RFC3339)
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	res, err := d.call(ctx, "POST", "/lock", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var answer struct {
		Lock json.RawMessage `json:"lock"`
	}
	if err := decode(ctx, res.Body, mostLock, &answer); err != nil {
		return nil, fmt.Errorf("read lock: %w", err)
	}
	if len(answer.Lock) == 0 || answer.Lock[0] != '{' {
		return nil, fmt.Errorf("read lock: %w", ErrEnded)
	}
	return answer.Lock, nil
}

// Input unpacks a tar, rooted at the package's own folder, as the package of that name.
func (d *Driver) Input(ctx context.Context, name string, tar io.Reader) error {
	return d.plain(ctx, "PUT", "/input?path="+url.QueryEscape(name), tar)
}

// BuildSpec says how the package that was put in is built.
type BuildSpec struct {
	Name  string            `json:"name"`
	Links map[string]string `json:"links"` // name of a dependency → its folder below /packages
	Bin   map[string]string `json:"bin"`   // command → file, relative to node_modules/.bin: "../dep/cli.js"
	Env   map[string]string `json:"env"`   // beside npm's own variables
}

// Build runs the install scripts, calls out with every line that they print, and returns their exit
// code. Nothing of the scripts runs any more when it returns 0 or another code.
func (d *Driver) Build(ctx context.Context, spec BuildSpec, out func(line string)) (code int, err error) {
	body, err := json.Marshal(spec)
	if err != nil {
		return 0, fmt.Errorf("encode build: %w", err)
	}
	res, err := d.call(ctx, "POST", "/build", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	return readBuild(ctx, res.Body, out)
}

// readBuild reads the stream of a build up to its end.
func readBuild(ctx context.Context, r io.Reader, out func(line string)) (code int, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, mostLine)
	left := hearth.LimitBuildOutput.Int()
	for lines.Scan() {
		var line struct {
			Out  *string `json:"out"`
			Done *bool   `json:"done"`
			Code *int    `json:"code"`
		}
		if err := strict(lines.Bytes(), &line); err != nil {
			return 0, fmt.Errorf("read output of build: %w: %w", ErrEnded, err)
		}
		switch {
		case line.Done != nil && *line.Done && line.Code != nil && line.Out == nil:
			return *line.Code, nil
		case line.Out == nil || line.Done != nil || line.Code != nil:
			return 0, fmt.Errorf("read output of build: %w", ErrEnded)
		}
		// The driver keeps to the limit, so whoever goes past it is not the driver any more.
		if left -= len(*line.Out) + lineCost; left < 0 {
			return 0, fmt.Errorf("read output of build: %w: more than %s", ErrEnded, hearth.LimitBuildOutput.Text())
		}
		out(printable(*line.Out))
	}
	return 0, fmt.Errorf("read output of build: %w", ended(ctx, lines.Err()))
}

// Result returns the package as it is now, as a tar rooted at its own folder ("./…"), bounded by
// LimitBuildResult. An answer that is cut off ends with an error, not with io.EOF.
func (d *Driver) Result(ctx context.Context) (io.ReadCloser, error) {
	res, err := d.call(ctx, "GET", "/result", nil)
	if err != nil {
		return nil, err
	}
	return &result{ctx: ctx, body: res.Body, left: hearth.LimitBuildResult.Value}, nil
}

type result struct {
	ctx  context.Context
	body io.ReadCloser
	left int64
}

func (r *result) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, hearth.Exceeded(hearth.CodeTooLarge, hearth.LimitBuildResult)
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read result: %w", ended(r.ctx, err))
	}
	return n, err
}

func (r *result) Close() error { return r.body.Close() }

// plain makes a call whose answer says nothing.
func (d *Driver) plain(ctx context.Context, method, target string, body io.Reader) error {
	res, err := d.call(ctx, method, target, body)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// call makes one call. An answer other than 200 is an error.
func (d *Driver) call(ctx context.Context, method, target string, body io.Reader) (*http.Response, error) {
	what := strings.TrimPrefix(strings.SplitN(target, "?", 2)[0], "/")
	req, err := http.NewRequestWithContext(ctx, method, "http://driver"+target, body)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", what, err)
	}
	res, err := d.client.Do(req)
	if err != nil {
		err = ended(ctx, err)
		if said := d.said.String(); said != "" && errors.Is(err, ErrEnded) {
			err = fmt.Errorf("%w: it printed %q", err, said)
		}
		return nil, fmt.Errorf("call %s of build sandbox %s: %w", what, d.ID, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	r := &Refusal{Status: res.StatusCode}
	if err := decode(ctx, res.Body, mostAnswer, &struct {
		Code    *string `json:"code"`
		Message *string `json:"message"`
	}{&r.Code, &r.Message}); err != nil {
		return nil, fmt.Errorf("call %s of build sandbox %s: status %d: %w", what, d.ID, res.StatusCode, err)
	}
	r.Code, r.Message = printable(clip(r.Code, 64)), printable(clip(r.Message, mostMessage))
	return nil, r
}

// ended tells an end that the caller asked for from one that came by itself.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		return ErrEnded
	}
	return fmt.Errorf("%w: %w", ErrEnded, err)
}

// decode reads one document of at most that many bytes.
func decode(ctx context.Context, r io.Reader, most int64, into any) error {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return ended(ctx, err)
	}
	if int64(len(text)) > most {
		return fmt.Errorf("%w: its answer has more than %d bytes", ErrEnded, most)
	}
	if err := strict(text, into); err != nil {
		return fmt.Errorf("%w: %w", ErrEnded, err)
	}
	return nil
}

func strict(text []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one document")
	}
	return nil
}

// printable removes what could move a terminal's cursor or break a log: all control characters but
// line feeds and tabs, with the escape sequences that begin with one.
func printable(text string) string {
	var b strings.Builder
	for rest := text; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
		switch {
		case r == 0x1b:
			rest = afterEscape(rest)
		case r == '\n' || r == '\t' || !unicode.IsControl(r) && !(r == utf8.RuneError && size == 1) && !unicode.Is(unicode.Bidi_Control, r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

// afterEscape skips the rest of a CSI sequence: parameters, then one final byte.
func afterEscape(rest string) string {
	if !strings.HasPrefix(rest, "[") {
		return rest
	}
	for n := 1; n < len(rest); n++ {
		if rest[n] >= 0x40 && rest[n] <= 0x7e {
			return rest[n+1:]
		}
	}
	return ""
}

func clip(text string, most int) string {
	if len(text) > most {
		return text[:most]
	}
	return text
}
