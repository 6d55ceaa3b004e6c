package warden

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hearth"
	"hearth/internal/sandbox"
	"hearth/internal/warden/wire"
)

// instance is one live sandbox with what the warden keeps for the node process.
type instance struct {
	*sandbox.Sandbox
	label   string // guarded by instances.mu
	held    bool   // by the node process of now; guarded by instances.mu
	drain   *drain // while nobody holds it; guarded by instances.mu
	dropped atomic.Int64
}

// instances is every live instance by id.
type instances struct {
	mu   sync.Mutex
	byID map[string]*instance
	wg   sync.WaitGroup // drains
}

var errNoInstance = &hearth.Error{Code: hearth.CodeNotFound, Component: hearth.ComponentPlatform, Message: "there is no such instance"}

func newInstances() *instances { return &instances{byID: map[string]*instance{}} }

func (is *instances) add(s *sandbox.Sandbox) *instance {
	i := &instance{Sandbox: s, held: true}
	is.mu.Lock()
	defer is.mu.Unlock()
	is.byID[s.ID] = i
	return i
}

func (is *instances) get(id string) (*instance, error) {
	is.mu.Lock()
	defer is.mu.Unlock()
	if i := is.byID[id]; i != nil {
		return i, nil
	}
	return nil, errNoInstance
}

// after returns the instances whose id follows id, in order.
func (is *instances) after(id string) []*instance {
	is.mu.Lock()
	defer is.mu.Unlock()
	var out []*instance
	for _, i := range is.byID {
		if i.ID > id {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b *instance) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func (is *instances) setLabel(id, label string) error {
	is.mu.Lock()
	defer is.mu.Unlock()
	i := is.byID[id]
	if i == nil {
		return errNoInstance
	}
	i.label = label
	return nil
}

func (is *instances) listed(i *instance) wire.Listed {
	is.mu.Lock()
	defer is.mu.Unlock()
	return wire.Listed{ID: i.ID, Runtime: i.Runtime, Label: i.label, Dropped: i.dropped.Load()}
}

// adopt gives an instance to the node process of now, once.
func (is *instances) adopt(id string) (*instance, error) {
	is.mu.Lock()
	i := is.byID[id]
	if i == nil {
		is.mu.Unlock()
		return nil, errNoInstance
	}
	if i.held {
		is.mu.Unlock()
		return nil, &hearth.Error{Code: hearth.CodeConflict, Component: hearth.ComponentPlatform, Message: "the instance is adopted already"}
	}
	i.held = true
	d := i.drain
	i.drain = nil
	is.mu.Unlock()
	if d != nil {
		d.stop()
	}
	return i, nil
}

// orphan begins to drain every instance: its node process is gone, and a full pipe would stop it.
func (is *instances) orphan() {
	is.mu.Lock()
	defer is.mu.Unlock()
	for _, i := range is.byID {
		if i.held || i.drain == nil {
			i.held = false
			i.drain = startDrain(&is.wg, i)
		}
	}
}

// destroy removes an instance. One that is gone already is no error: both sides may have seen its end.
func (is *instances) destroy(ctx context.Context, id string) error {
	is.mu.Lock()
	i := is.byID[id]
	is.mu.Unlock()
	if i == nil {
		return nil
	}
	err := i.Destroy(ctx)
	is.mu.Lock()
	d := i.drain
	i.drain = nil
	delete(is.byID, id)
	is.mu.Unlock()
	if d != nil {
		d.stop()
	}
	return err
}

// destroyAll ends everything, a few at a time.
func (is *instances) destroyAll(ctx context.Context) error {
	all := is.after("")
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for n, i := range all {
		slots <- struct{}{}
		wg.Go(func() { // waited for below
			defer func() { <-slots }()
			errs[n] = is.destroy(ctx, i.ID)
		})
	}
	wg.Wait()
	is.wg.Wait()
	return errors.Join(errs...)
}

// drain reads what an instance prints into nothing, and counts it.
type drain struct {
	pipes []*os.File
	wg    sync.WaitGroup
}

func startDrain(owner *sync.WaitGroup, i *instance) *drain {
	files := i.Files()
	d := &drain{pipes: []*os.File{files.Stdout, files.Stderr}}
	for _, pipe := range d.pipes {
		pipe.SetReadDeadline(time.Time{})
		d.wg.Add(1)
		owner.Go(func() { // ends with the pipe, or with stop
			defer d.wg.Done()
			buf := make([]byte, 4<<10)
			for {
				n, err := pipe.Read(buf)
				i.dropped.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
	return d
}

// stop returns when nobody reads any more.
func (d *drain) stop() {
	for _, pipe := range d.pipes {
		pipe.SetReadDeadline(time.Unix(1, 0))
	}
	d.wg.Wait()
}
