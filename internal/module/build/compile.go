package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"hearth"
	"hearth/internal/module/plan"
	"hearth/internal/module/unpack"
)

// outputMost is how much of a script's output is kept, its end: the compiler's error is there.
const outputMost = 16 << 10

// closeTime bounds ending a sandbox.
const closeTime = 30 * time.Second

// compile makes a content with scripts in a sandbox of its own.
func (b *Builder) compile(ctx context.Context, w *work) (err error) {
	t, err := b.cfg.Store.Tree(ctx, w.job.Tree)
	if err != nil {
		return err
	}
	p := t.Find(w.job.Package.Key)
	if p == nil {
		return fmt.Errorf("build content %s: its tree %s has no such package", w.job.Content, w.job.Tree)
	}
	c, err := b.fetch(ctx, w, *p)
	if err != nil {
		return err
	}
	defer func() { c.Close() }()
	deps := dependencies(t, p)
	b.cfg.Host.Hold(deps.Key)
	defer b.cfg.Host.Release(deps.Key)
	linked, err := b.cfg.Host.Ensure(ctx, deps)
	if err != nil {
		return fmt.Errorf("link what %s@%s depends on: %w", p.Package, p.Version, err)
	}
	short, cancel := context.WithTimeoutCause(ctx, b.cfg.Time, errSlow)
	defer cancel()
	built, err := b.run(short, t, p, c, deps, linked)
	if err != nil {
		if errors.Is(context.Cause(short), errSlow) && ctx.Err() == nil {
			return &scriptError{hearth.Failure{Reason: failureReason,
				Message: fmt.Sprintf("the install script did not end within %s", b.cfg.Time), Stack: outputOf(err)}}
		}
		return err
	}
	c.Close()
	c = built
	// After the row: two builds of one package may differ, and a node must have what was published.
	return b.publish(ctx, w, c, false)
}

var errSlow = errors.New("the build took too long")

// run builds in a sandbox, which has ended when it returns.
func (b *Builder) run(ctx context.Context, t *plan.Tree, p *plan.Package, c *unpack.Content, deps *plan.Tree, linked Linked) (built *unpack.Content, err error) {
	box, err := b.cfg.Sandboxes.Start(ctx, t.Runtime, p.Tenant)
	if err != nil {
		return nil, fmt.Errorf("start a build sandbox: %w", err)
	}
	out := &tail{most: outputMost}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if err := box.Close(end); err != nil {
			b.cfg.Log.Error("cannot end a build sandbox", "err", err)
		}
		if err != nil {
			err = &withOutput{err, out.String()}
		}
	}()
	if err := input(ctx, box, p.Name, c); err != nil {
		return nil, fmt.Errorf("hand %s@%s to its sandbox: %w", p.Package, p.Version, err)
	}
	code, err := box.Build(ctx, spec(t, p, deps, linked), out.line)
	if err != nil {
		return nil, fmt.Errorf("build %s@%s: %w", p.Package, p.Version, err)
	}
	if code != 0 {
		f := hearth.Failure{Reason: failureReason, Message: fmt.Sprintf("the install script ended with code %d", code), Stack: out.String()}
		if hint := downloadHint(f.Stack); hint != "" {
			f.Message += "; " + hint
		}
		return nil, &scriptError{f}
	}
	result, err := box.Result(ctx)
	if err != nil {
		return nil, fmt.Errorf("take the result of %s@%s: %w", p.Package, p.Version, err)
	}
	defer result.Close()
	if built, err = unpack.FromTar(ctx, result, b.cfg.Limits); err != nil {
		return nil, fmt.Errorf("read what %s@%s built: %w", p.Package, p.Version, err)
	}
	return built, nil
}

// input streams a content into the sandbox as a plain tar.
func input(ctx context.Context, box Sandbox, name string, c *unpack.Content) error {
	packed, pack := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		_, _, err := unpack.Write(ctx, pack, c)
		pack.CloseWithError(err)
		wrote <- err
	}()
	dec, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err == nil {
		err = box.Input(ctx, name, dec)
		dec.Close()
	}
	packed.CloseWithError(io.ErrClosedPipe) // so that the writer ends if nobody read to the end
	if werr := <-wrote; err == nil && !errors.Is(werr, io.ErrClosedPipe) {
		err = werr
	}
	return err
}

// dependencies is what p may require while it is built, as a tree of its own.
func dependencies(t *plan.Tree, p *plan.Package) *plan.Tree {
	sum := sha256.Sum256([]byte("build " + p.Key))
	deps := &plan.Tree{Key: hex.EncodeToString(sum[:]), Runtime: t.Runtime, Platform: t.Platform, Direct: map[string]string{}, Hoisted: map[string]string{}}
	seen := map[string]bool{p.Key: true}
	var add func(from map[string]string) (kept map[string]string)
	add = func(from map[string]string) map[string]string {
		kept := make(map[string]string, len(from))
		for name, key := range from {
			d := t.Find(key)
			if d == nil || key == p.Key || d.Scripts && reaches(t, d, p.Key) { // in a cycle somebody is built first, without the others
				continue
			}
			kept[name] = key
			if !seen[key] {
				seen[key] = true
				copy := *d
				copy.Deps = add(d.Deps)
				deps.Packages = append(deps.Packages, copy)
			}
		}
		return kept
	}
	deps.Direct = add(p.Deps)
	slices.SortFunc(deps.Packages, func(a, b plan.Package) int { return strings.Compare(a.Key, b.Key) })
	return deps
}

// reaches reports whether d depends on key, directly or not.
func reaches(t *plan.Tree, d *plan.Package, key string) bool {
	seen := map[string]bool{}
	next := []*plan.Package{d}
	for len(next) > 0 {
		p := next[len(next)-1]
		next = next[:len(next)-1]
		for _, k := range p.Deps {
			if k == key {
				return true
			}
			if d := t.Find(k); d != nil && !seen[k] {
				seen[k] = true
				next = append(next, d)
			}
		}
	}
	return false
}

func spec(t *plan.Tree, p *plan.Package, deps *plan.Tree, linked Linked) Spec {
	s := Spec{Name: p.Name, Links: map[string]string{}, Bin: map[string]string{}, Env: map[string]string{}}
	for name, key := range deps.Direct {
		s.Links[name] = path.Join(linked.Path, name)
		for command, file := range t.Find(key).Bin {
			s.Bin[command] = path.Join("..", name, file)
		}
	}
	return s
}

// tail keeps the end of what lines were written to it.
type tail struct {
	most int
	text []byte
	cut  bool
}

func (t *tail) line(s string) {
	t.text = append(append(t.text, s...), '\n')
	if len(t.text) > 2*t.most { // rarely, so that a flood costs its own size
		t.trim()
	}
}

func (t *tail) trim() {
	if over := len(t.text) - t.most; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
		t.cut = true
	}
}

func (t *tail) String() string {
	t.trim()
	s := strings.ToValidUTF8(string(t.text), "�")
	if t.cut {
		s = "…" + s
	}
	return strings.TrimRight(s, "\n")
}

// Signs of a script that wanted something from elsewhere than the registry: what a resolver or a
// connection says when there is none, and the tools that fetch prebuilt binaries.
var (
	noNetwork = regexp.MustCompile(`(?i)\b(ENOTFOUND|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|getaddrinfo|could not resolve host|network is unreachable|name resolution|fetch failed)\b`)
	wanted    = regexp.MustCompile(`https?://[A-Za-z0-9.-]+`)
)

// downloadHint says what to do when a script failed since it could not download something.
func downloadHint(output string) string {
	if !noNetwork.MatchString(output) {
		return ""
	}
	hint := "it wanted to download something, and a build reaches the npm registry only"
	for _, host := range wanted.FindAllString(output, 20) {
		if !strings.Contains(host, "//127.0.0.1") && !strings.Contains(host, "//localhost") {
			hint += " (it names " + host + ")"
			break
		}
	}
	return hint + "; take a version of the package that compiles or has its binaries as optional dependencies, or ask the operator for --build-egress"
}
