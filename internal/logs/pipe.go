package logs

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The size of a read is a pipe's default capacity; what Assign throws away at once is bounded by the
// largest pipe that an unprivileged process can make.
const (
	readBytes = 64 << 10
	poolBytes = 1 << 20
)

// instance is whose two pipes are read. Life: attached (output is thrown away), assigned for life,
// gone when both pipes have ended.
type instance struct {
	logs *Logs
	id   string

	serving atomic.Pointer[target] // where lines without a frame go; nil: nowhere

	mu        sync.Mutex // held for one non-blocking read and its lines
	owner     *Owner     // nil while in the pool
	container *container
	frame     frameTarget // of the last good frame
	pipes     [2]*pipe
	open      int
	scratch   []byte // for one record
}

// target is a function and a version of it, as a line is marked.
type target struct {
	s       *stream
	version int
}

// frameTarget remembers which log a frame's function name means.
type frameTarget struct {
	name string
	s    *stream
}

type pipe struct {
	kind   byte
	file   *os.File
	parser parser
}

// Owner is the container to which an instance is assigned. FunctionID finds the id of a function
// that the container has now; it is called when the output's function changes, must not block and
// must not call Logs. Function and Version may name one that the instance has, for Adopt.
type Owner struct {
	Tenant, Container, ContainerID string
	FunctionID                     func(function string) (id string, ok bool)
	Function                       string
	Version                        int
}

// Attach takes over the pipes of a new instance, drains them to their end and closes them; what
// comes before Assign is thrown away. A file that blocks is read through a duplicate that doesn't.
func (l *Logs) Attach(instanceID string, stdout, stderr *os.File) {
	l.attach(&instance{logs: l, id: instanceID}, stdout, stderr)
}

// Adopt is Attach for an instance that was assigned under an earlier node process: what is in the
// pipes already belongs to the owner. missed is how many bytes the warden drained meanwhile.
func (l *Logs) Adopt(instanceID string, stdout, stderr *os.File, missed int64, o Owner) {
	i := &instance{logs: l, id: instanceID, owner: &o}
	i.serve(o.Function, o.Version)
	l.attach(i, stdout, stderr)
	if missed <= 0 {
		return
	}
	if t := i.serving.Load(); t != nil {
		l.refuse(t.s, restart, 0, missed)
	} else {
		l.droppedBytes.Add(missed)
	}
}

func (l *Logs) attach(i *instance, stdout, stderr *os.File) {
	for n, f := range []*os.File{stdout, stderr} {
		i.pipes[n] = &pipe{kind: kindStdout + byte(n), file: pollable(f)}
	}
	i.open = len(i.pipes)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping.Load() || l.instances[i.id] != nil {
		for _, p := range i.pipes {
			_ = p.file.Close() // nothing was read
		}
		return
	}
	l.instances[i.id] = i
	if i.owner != nil {
		i.container = l.retainContainer(i.owner.ContainerID)
	}
	for _, p := range i.pipes {
		l.draining.Go(func() { i.drain(p) })
	}
}

// pollable makes sure that reads of f never block: not every way in which a descriptor came here, and
// no call of Fd on the way, left it so.
func pollable(f *os.File) *os.File {
	polled := f.SetReadDeadline(time.Time{}) == nil
	fd := -1
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(old uintptr) { // an error means that it is closed
			_ = unix.SetNonblock(int(old), true) // fails for what is no descriptor
			if !polled {
				fd, _ = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3)
			}
		})
	}
	if fd < 0 {
		return f
	}
	_ = f.Close() // the duplicate stays
	return os.NewFile(uintptr(fd), f.Name())
}

// Assign says whose output it is from now on, for life. What the instance printed before is thrown
// away, also what is still in the pipes: call it before any of the tenant's code is in the instance.
// functionID is as in Owner.
func (l *Logs) Assign(instanceID string, tenant, container, containerID string, functionID func(function string) (id string, ok bool)) {
	i := l.instance(instanceID)
	if i == nil {
		return // it died already
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.owner != nil {
		l.cfg.Log.Error("instance is assigned already", "instance", instanceID, "container", containerID)
		return
	}
	if i.open == 0 {
		return
	}
	for _, p := range i.pipes {
		p.discard()
	}
	i.owner = &Owner{Tenant: tenant, Container: container, ContainerID: containerID, FunctionID: functionID}
	l.mu.Lock()
	i.container = l.retainContainer(containerID)
	l.mu.Unlock()
}

// Serving says that the instance is about to get a function's code for the first time: lines
// without a frame go to that function until a frame names another. Call it after Assign and before
// the code can run.
func (l *Logs) Serving(instanceID, function string, version int) {
	i := l.instance(instanceID)
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.owner != nil {
		i.serve(function, version)
	}
}

// serve changes where lines without a frame go, if the owner has the function.
func (i *instance) serve(function string, version int) {
	if s := i.function(function); s != nil {
		i.serving.Store(&target{s, version})
	}
}

// function returns the log of a function that the owner has now; nil: it has none of that name.
func (i *instance) function(name string) *stream {
	if name == "" {
		return nil
	}
	id, ok := i.owner.FunctionID(name)
	if !ok {
		return nil
	}
	return i.logs.find(id, names{i.owner.Tenant, i.owner.Container, name})
}

func (l *Logs) instance(id string) *instance {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.instances[id]
}

// drain reads p until its end or until the logs stop. Between reads it holds no buffer, since most
// instances are silent most of the time.
func (i *instance) drain(p *pipe) {
	defer i.ended(p)
	raw, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	timed := false // p has a deadline
	for !i.logs.stopping.Load() {
		more := true
		err := raw.Read(func(fd uintptr) (done bool) {
			done, more = i.read(p, fd)
			return done
		})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			// The time may be up only because this goroutine had to wait for a processor: look once more.
			_ = p.file.SetReadDeadline(time.Time{}) // it worked before
			timed = false
			err = raw.Read(func(fd uintptr) bool {
				var done bool
				if done, more = i.read(p, fd); !done {
					i.flush(p)
				}
				return true
			})
		}
		if err != nil || !more {
			return
		}
		if d := i.patience(p); d > 0 {
			timed = p.file.SetReadDeadline(time.Now().Add(d)) == nil
		} else if timed {
			timed = p.file.SetReadDeadline(time.Time{}) != nil
		}
	}
}

// read reads once without blocking; done is false if there was nothing, more is false at the end.
func (i *instance) read(p *pipe, fd uintptr) (done, more bool) {
	buf := i.logs.reads.Get().(*[readBytes]byte)
	defer i.logs.reads.Put(buf)
	i.mu.Lock()
	defer i.mu.Unlock()
	for {
		n, err := unix.Read(int(fd), buf[:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return false, true
		case err != nil || n <= 0:
			return true, false
		}
		if i.owner != nil {
			now := time.Now()
			p.parser.feed(buf[:n], func(ln line) { i.take(p, now, ln) })
		}
		return true, true
	}
}

func (i *instance) patience(p *pipe) time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return p.parser.patience()
}

func (i *instance) flush(p *pipe) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	p.parser.flush(func(ln line) { i.take(p, now, ln) })
}

// discard throws away what is in the pipe; i.mu is held.
func (p *pipe) discard() {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // an error means that it is closed
		var buf [4 << 10]byte
		for got := 0; got < poolBytes; {
			n, err := unix.Read(int(fd), buf[:])
			if err == unix.EINTR {
				continue
			}
			if err != nil || n <= 0 {
				return
			}
			got += n
		}
	})
}

// ended closes a pipe; with the second the instance is forgotten.
func (i *instance) ended(p *pipe) {
	i.flush(p)
	_ = p.file.Close() // it was only read
	i.mu.Lock()
	i.open--
	gone := i.open == 0
	i.mu.Unlock()
	if !gone {
		return
	}
	l := i.logs
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.instances, i.id)
	if i.container != nil {
		l.releaseContainer(i.container, time.Now())
	}
}

// take queues one line; i.mu is held.
func (i *instance) take(p *pipe, now time.Time, ln line) {
	l := i.logs
	var request, level string
	to := i.serving.Load()
	if ln.framed {
		level = string(ln.level)
		if s := i.named(ln.function); s != nil {
			if to == nil || to.s != s || to.version != ln.version {
				to = &target{s, ln.version}
				i.serving.Store(to)
			}
			request = string(ln.request)
		}
	}
	if to == nil {
		l.unattributed.Add(1)
		l.droppedLines.Add(1)
		l.droppedBytes.Add(int64(len(ln.text)))
		return
	}
	i.scratch = appendLine(i.scratch[:0], p.kind, now, to.version, request, i.id, level, ln.text)
	if !i.container.take(now, len(i.scratch)) {
		l.refuse(to.s, rate, 1, int64(len(ln.text)))
	} else {
		l.add(to.s, nil, now, i.scratch, len(ln.text))
	}
	if cap(i.scratch) > 4<<10 {
		i.scratch = nil
	}
}

// named returns the log that a frame's function name means.
func (i *instance) named(function []byte) *stream {
	if len(function) == 0 {
		return nil
	}
	if i.frame.s == nil || i.frame.name != string(function) || i.frame.s.gone() {
		name := string(function)
		i.frame = frameTarget{name, i.function(name)}
	}
	return i.frame.s
}
