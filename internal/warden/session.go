package warden

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"

	"hearth"
	"hearth/internal/sandbox"
	"hearth/internal/warden/wire"
)

// underWay bounds the requests of the node process that are answered at once. More wait in the
// socket, which slows the node process and nobody else.
const underWay = 64

// session is one life of the node process, as seen over its socket pair.
type session struct {
	w    *warden
	conn *wire.Conn
	log  *slog.Logger
}

// run answers requests until the socket ends, then waits for the answers under way. A message that
// breaks the protocol ends the session: whoever sends it is not our node process any more.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, underWay)
	for {
		packet, files, err := s.conn.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		req, err := wire.DecodeRequest(packet)
		if err == nil {
			err = checkFiles(req, files)
		}
		if err != nil {
			wire.CloseAll(files)
			return err
		}
		slots <- struct{}{}
		wg.Go(func() { // waited for above
			defer func() { <-slots }()
			defer wire.CloseAll(files)
			s.answer(ctx, req, files)
		})
	}
}

// checkFiles refuses descriptors that were not asked for.
func checkFiles(req *wire.Request, files []*os.File) error {
	want := 0
	if req.ImagePut != nil {
		want = 1
	}
	if len(files) != want {
		return fmt.Errorf("request %d came with %d descriptors, not %d", req.Seq, len(files), want)
	}
	return nil
}

func (s *session) answer(ctx context.Context, req *wire.Request, files []*os.File) {
	reply, out, done, err := s.do(ctx, req, files)
	if done != nil {
		defer done()
	}
	if err != nil {
		reply, out = wire.Reply{Error: err.Error()}, nil
		var he *hearth.Error
		if errors.As(err, &he) {
			reply.Code = string(he.Code)
		}
		if len(reply.Error) > 4<<10 {
			reply.Error = reply.Error[:4<<10]
		}
	}
	reply.Seq = req.Seq
	packet, err := wire.Encode(reply)
	if err == nil {
		err = s.conn.Write(packet, out...)
	}
	if err != nil {
		s.log.Warn("cannot answer node process", "err", err)
	}
}

// do carries out one request. It returns the descriptors to send and what to do once they are sent.
func (s *session) do(ctx context.Context, req *wire.Request, files []*os.File) (r wire.Reply, out []*os.File, done func(), err error) {
	switch {
	case req.Start != nil:
		return s.start(ctx, req.Start)
	case req.Adopt != nil:
		i, err := s.w.instances.adopt(req.Adopt.ID)
		if err != nil {
			return r, nil, nil, err
		}
		return wire.Reply{ID: i.ID}, sandboxFiles(i), nil, nil
	case req.Limit != nil:
		l, err := checkLimits(req.Limit.Limits, false)
		if err != nil {
			return r, nil, nil, err
		}
		i, err := s.w.instances.get(req.Limit.ID)
		if err != nil {
			return r, nil, nil, err
		}
		return r, nil, nil, i.Limit(l)
	case req.Label != nil:
		if len(req.Label.Label) > wire.MaxLabel {
			return r, nil, nil, fmt.Errorf("label of %d bytes, at most %d", len(req.Label.Label), wire.MaxLabel)
		}
		return r, nil, nil, s.label(req.Label)
	case req.Destroy != nil:
		// Not the session's context: an instance whose end was asked for ends.
		return r, nil, nil, s.w.instances.destroy(context.WithoutCancel(ctx), req.Destroy.ID)
	case req.Mount != nil:
		i, err := s.w.instances.get(req.Mount.ID)
		if err != nil {
			return r, nil, nil, err
		}
		return r, nil, nil, i.Mount()
	case req.Freeze != nil:
		i, err := s.w.instances.get(req.Freeze.ID)
		if err != nil {
			return r, nil, nil, err
		}
		return r, nil, nil, i.Freeze(ctx, req.Freeze.Frozen)
	case req.List != nil:
		return s.list(req.List), nil, nil, nil
	case req.Stats != nil:
		return s.stats(req.Stats), nil, nil, nil
	case req.Image != nil:
		img, err := s.w.images.state(ctx, *req.Image)
		return wire.Reply{Image: &img}, nil, nil, err
	case req.ImagePut != nil:
		img, err := s.w.images.put(ctx, *req.ImagePut, files[0])
		return wire.Reply{Image: &img}, nil, nil, err
	case req.TLS != nil:
		cert, key, err := openTLS(s.w.cfg)
		if err != nil {
			return r, nil, nil, err
		}
		return r, []*os.File{cert, key}, func() { wire.CloseAll([]*os.File{cert, key}) }, nil
	}
	return r, nil, nil, errors.New("unknown request")
}

// label keeps what an instance is labelled with. One that has a label is somebody's, who waits for it.
func (s *session) label(req *wire.LabelRequest) error {
	if err := s.w.instances.setLabel(req.ID, req.Label); err != nil {
		return err
	}
	i, err := s.w.instances.get(req.ID)
	if err != nil {
		return err
	}
	return i.Promote()
}

func (s *session) start(ctx context.Context, req *wire.StartRequest) (r wire.Reply, out []*os.File, done func(), err error) {
	l, err := checkLimits(req.Limits, req.Build)
	if err != nil {
		return r, nil, nil, err
	}
	img, err := s.w.images.get(wire.ImageRequest{Runtime: req.Runtime, Build: req.Build})
	if err != nil {
		return r, nil, nil, err
	}
	box, err := s.w.maker.Start(ctx, img, l)
	if err != nil {
		return r, nil, nil, err
	}
	i := s.w.instances.add(box)
	s.w.wg.Go(func() { s.w.watch(i) }) // ends with the instance
	return wire.Reply{ID: box.ID}, sandboxFiles(i), nil, nil
}

// sandboxFiles is the order that wire.Sandbox expects.
func sandboxFiles(i *instance) []*os.File {
	f := i.Files()
	files := []*os.File{f.Stdout, f.Stderr, f.Code, f.Requests, f.Control}
	if f.Registry != nil {
		files = append(files, f.Registry)
	}
	return files
}

// bound is what one limit must lie between.
type bound struct {
	name            string
	value           int
	atLeast, atMost int
}

// checkLimits bounds what the node process may ask for. The bounds are those of a tenant, so that a
// node process that was broken into cannot ask for more than a tenant could; those of a build are its own.
func checkLimits(l wire.Limits, build bool) (sandbox.Limits, error) {
	bounds := []bound{
		{"memory_mib", l.MemoryMiB, hearth.LimitLeastMemory.Int(), hearth.LimitMostMemory.Int()},
		{"milli_cpus", l.MilliCPUs, 10, 1000 * hearth.LimitMostCPUs.Int()},
		{"pids", l.Pids, 16, hearth.LimitMostPids.Int()},
		{"tmp_mib", l.TmpMiB, 1, hearth.LimitMostTmp.Int()},
		{"work_mib", l.WorkMiB, 0, 0},
	}
	if build {
		bounds = []bound{
			{"memory_mib", l.MemoryMiB, hearth.LimitLeastMemory.Int(), hearth.LimitBuildMemory.Int()},
			{"milli_cpus", l.MilliCPUs, 10, 1000 * hearth.LimitBuildCPUs.Int()},
			{"pids", l.Pids, 16, hearth.LimitBuildPids.Int()},
			{"tmp_mib", l.TmpMiB, 1, hearth.LimitMostTmp.Int()},
			{"work_mib", l.WorkMiB, 1, hearth.LimitBuildWork.Int()},
		}
	}
	for _, c := range bounds {
		if c.value < c.atLeast || c.value > c.atMost {
			return sandbox.Limits{}, fmt.Errorf("%s is %d, not between %d and %d", c.name, c.value, c.atLeast, c.atMost)
		}
	}
	return sandbox.Limits(l), nil
}

// pageBytes is how full a page of a list gets: a message less the envelope and one entry.
const pageBytes = wire.MaxMessage - 2*wire.MaxLabel - 1024

func (s *session) list(req *wire.PageRequest) wire.Reply {
	var r wire.Reply
	size := 0
	for _, i := range s.w.instances.after(req.After) {
		l := s.w.instances.listed(i)
		// A label may double when it is written as JSON.
		if size += 128 + 2*len(l.Label); size > pageBytes {
			r.More = true
			break
		}
		r.List = append(r.List, l)
	}
	return r
}

// statsPage bounds one answer: an entry has at most 200 bytes.
const statsPage = 256

func (s *session) stats(req *wire.PageRequest) wire.Reply {
	var r wire.Reply
	all := s.w.instances.after(req.After)
	r.More = len(all) > statsPage
	for _, i := range slices.Clip(all[:min(len(all), statsPage)]) {
		st, err := i.Stats()
		if err != nil { // it is just ending
			st = sandbox.Stats{}
		}
		r.Stats = append(r.Stats, wire.Stats{ID: i.ID, MemoryBytes: st.MemoryBytes, PeakBytes: st.PeakBytes,
			CPUNanos: st.CPUNanos, Pids: st.Pids, OOMKills: st.OOMKills})
	}
	return r
}

// exited tells the node process that an instance ended by itself.
func (s *session) exited(i *instance) {
	status, oom := i.Exit()
	packet, err := wire.Encode(wire.Reply{Exit: &wire.Exit{ID: i.ID, OOM: oom, Status: status}})
	if err == nil {
		err = s.conn.Write(packet)
	}
	if err != nil {
		s.log.Warn("cannot tell node process of an exit", "instance", i.ID, "err", err)
	}
}
