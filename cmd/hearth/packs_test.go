package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"hearth"
	"hearth/internal/api"
	"hearth/internal/module/host"
	"hearth/internal/module/plan"
	"hearth/internal/store"
	"hearth/internal/store/storetest"
)

// packs stands in for the rooms of packages, over the real store: a dependency's name says what becomes
// of it. Of one named missing npm says that there is no such version, one named native cannot be
// compiled, one named stuck never ends, and with one named slow each step takes until it was seen.
type packs struct {
	store *store.Store
	wg    sync.WaitGroup
	ended chan struct{}

	mu   sync.Mutex
	runs map[string]*packRun
}

type packRun struct {
	done    chan struct{}
	err     error
	now     api.Progress
	changed chan struct{}
	seen    chan struct{} // size 1
}

func (p *packs) settle(ctx context.Context, v hearth.Version) error {
	key := fmt.Sprint(v.FunctionID, v.Number)
	p.mu.Lock()
	r := p.runs[key]
	if r == nil {
		r = &packRun{done: make(chan struct{}), changed: make(chan struct{}), seen: make(chan struct{}, 1)}
		p.runs[key] = r
		p.wg.Go(func() {
			defer close(r.done)
			r.err = p.run(context.WithoutCancel(ctx), v, r)
		})
	}
	p.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *packs) run(ctx context.Context, v hearth.Version, r *packRun) error {
	if _, missing := v.Manifest.Dependencies["missing"]; missing {
		v.Status = hearth.StatusFailed
		v.Failure = &hearth.Failure{Reason: "dependencies", Message: "ETARGET No matching version found for missing@9.\nIn most cases you or one of your dependencies are\nrequesting a package version that doesn't exist."}
		return p.store.Settle(ctx, v)
	}
	if _, slow := v.Manifest.Dependencies["slow"]; slow {
		for _, now := range []api.Progress{{Stage: "locking"}, {Stage: "building", Total: 2, Known: 1}, {Stage: "building", Total: 2, Known: 1, Waiting: "registry.example is away"},
			{Stage: "building", Total: 2, Known: 1, Fetched: 1, Built: 1}, {Stage: "linking", Total: 2, Known: 1, Fetched: 1, Built: 1}} {
			r.tell(p, now)
			select {
			case <-r.seen:
			case <-time.After(10 * time.Second):
				return fmt.Errorf("nobody looks at %+v", now)
			}
		}
		r.tell(p, api.Progress{})
	}
	if _, stuck := v.Manifest.Dependencies["stuck"]; stuck {
		r.tell(p, api.Progress{Stage: "building", Total: 3, Known: 1, Waiting: "registry.example is away"})
		<-p.ended
		return nil
	}
	var all []plan.Package
	for name := range v.Manifest.Dependencies {
		all = append(all, storetest.Pure(name, "1"))
	}
	tree := storetest.Tree(all...)
	if _, err := p.store.AddTree(ctx, tree, v.Tenant); err != nil {
		v.Status, v.Failure = hearth.StatusFailed, &hearth.Failure{Reason: "dependencies", Message: err.Error()}
		return p.store.Settle(ctx, v)
	}
	jobs, err := p.store.ClaimContents(ctx, "test", false, 100)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if j.Package.Package == "native" {
			f := hearth.Failure{Reason: "dependencies", Message: "gcc: fatal \x1b[31merror\nzlib.h is not there"}
			if _, err := p.store.FailContent(ctx, j, store.FaultPackage, f, 0); err != nil {
				return err
			}
			v.Status, v.Failure = hearth.StatusFailed, &f
			return p.store.Settle(ctx, v)
		}
		archive := strings.Repeat("x", 2048)
		sum := sha256.Sum256([]byte(archive))
		digest := "sha256-" + hex.EncodeToString(sum[:])
		size, err := p.store.PutArchive(ctx, j.Content, strings.NewReader(archive), digest)
		if err == nil {
			_, err = p.store.FinishContents(ctx, []store.Built{{Content: j.Content, Token: j.Token, Digest: digest, BlobBytes: size, Files: 3, Bytes: 5 << 20}})
		}
		if err != nil {
			return err
		}
	}
	return p.store.SettleTree(ctx, v, tree.Key, "")
}

func (r *packRun) tell(p *packs, now api.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.now = now
	close(r.changed)
	r.changed = make(chan struct{})
	select {
	case <-r.seen: // that was of what is over
	default:
	}
}

func (p *packs) Progress(v hearth.Version) (api.Progress, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.runs[fmt.Sprint(v.FunctionID, v.Number)]
	if r == nil || r.now.Stage == "" {
		return api.Progress{}, nil
	}
	select {
	case r.seen <- struct{}{}:
	default:
	}
	return r.now, r.changed
}

func (p *packs) Verify(_ context.Context, heal bool) (host.Report, error) {
	r := host.Report{Contents: 1, Files: 3, Bytes: 5 << 20, Damaged: []host.Damage{{Tree: "t1", Path: "x\x1b[2J", Problem: "link", Healed: heal}}}
	return r, nil
}
