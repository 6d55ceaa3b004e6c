package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"hearth"
)

// Sandbox is an instance as the node process holds it. The files are the receiver's to close.
type Sandbox struct {
	ID      string
	Runtime string
	Label   string
	Dropped int64 // bytes of output lost while no node process read them

	Stdout, Stderr    *os.File // read ends of the instance's pipes
	Code              *os.File // the folder behind /fn
	Requests, Control *os.File // O_PATH descriptors of its sockets: connect to /proc/self/fd/N

	// Registry is a listener on RegistryAddress inside the network of a build sandbox, which reaches
	// that and nothing else. nil in an instance.
	Registry *os.File
}

// RegistryAddress is where a build sandbox finds the registry.
const RegistryAddress = "127.0.0.1:4873"

// Close closes the descriptors; the instance lives on.
func (s *Sandbox) Close() {
	CloseAll([]*os.File{s.Stdout, s.Stderr, s.Code, s.Requests, s.Control, s.Registry})
}

// sandboxFiles is how many descriptors come with an instance, in the order of the fields; a build
// sandbox has one more.
const sandboxFiles = 5

// ErrClosed is returned for every call after the warden's end closed.
var ErrClosed = errors.New("the warden is gone")

// Client is the node process's side. It is safe for concurrent use.
type Client struct {
	conn *Conn

	mu      sync.Mutex
	seq     uint64
	waiting map[uint64]chan answer // one for each call under way; bounded by the callers
	closed  bool

	exits chan Exit
}

type answer struct {
	reply Reply
	files []*os.File
}

// Accept reads the hello from f, the descriptor that the warden left, and returns the client.
func Accept(f *os.File) (*Client, *Hello, []*os.File, error) {
	conn, err := NewConn(f)
	if err != nil {
		return nil, nil, nil, err
	}
	packet, files, err := conn.Read()
	if err != nil {
		conn.Close()
		return nil, nil, nil, err
	}
	var h Hello
	if err := decode(packet, &h); err != nil || len(h.Files) != len(files) {
		CloseAll(files)
		conn.Close()
		return nil, nil, nil, fmt.Errorf("read hello with %d descriptors: %w", len(files), errors.Join(err, errors.New("not a hello")))
	}
	return NewClient(conn), &h, files, nil
}

// NewClient speaks over conn. Call Run.
func NewClient(conn *Conn) *Client {
	return &Client{conn: conn, waiting: map[uint64]chan answer{}, exits: make(chan Exit)}
}

// Run reads replies and exits until ctx ends (nil) or the warden does (ErrClosed). Every call that
// waits is then answered with ErrClosed.
func (c *Client) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	defer stop()
	var wg sync.WaitGroup
	pending := make(chan Exit)
	wg.Go(func() { c.forward(pending) }) // ends when pending is closed
	err := c.read(pending)
	close(pending)
	wg.Wait()
	c.mu.Lock()
	c.closed = true
	for seq, ch := range c.waiting {
		close(ch)
		delete(c.waiting, seq)
	}
	c.mu.Unlock()
	c.conn.Close()
	if ctx.Err() != nil {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return ErrClosed
	}
	return fmt.Errorf("%w: %w", ErrClosed, err)
}

func (c *Client) read(exits chan<- Exit) error {
	for {
		packet, files, err := c.conn.Read()
		if err != nil {
			return err
		}
		var r Reply
		if err := decode(packet, &r); err != nil {
			CloseAll(files)
			return err
		}
		if r.Exit != nil {
			CloseAll(files)
			exits <- *r.Exit
			continue
		}
		c.mu.Lock()
		ch := c.waiting[r.Seq]
		delete(c.waiting, r.Seq)
		c.mu.Unlock()
		if ch == nil { // the caller gave up
			CloseAll(files)
			if r.ID != "" { // it asked for an instance, which nobody will ever use
				c.abandon(r.ID)
			}
			continue
		}
		ch <- answer{r, files} // has room for one
	}
}

// abandon destroys an instance without waiting for the answer, which read passes over.
func (c *Client) abandon(id string) {
	c.mu.Lock()
	c.seq++
	seq := c.seq
	c.mu.Unlock()
	if packet, err := Encode(Request{Seq: seq, Destroy: &InstanceRequest{ID: id}}); err == nil {
		c.conn.Write(packet) // an error here ends the next Read too
	}
}

// forward hands exits to whoever listens. The queue is bounded by the number of instances, since
// each ends once; without it a listener that calls the warden would wait for itself.
func (c *Client) forward(in <-chan Exit) {
	defer close(c.exits)
	var queue []Exit
	for {
		var out chan<- Exit
		var next Exit
		if len(queue) > 0 {
			out, next = c.exits, queue[0]
		}
		select {
		case e, ok := <-in:
			if !ok {
				return
			}
			queue = append(queue, e)
		case out <- next:
			queue = queue[1:]
		}
	}
}

// Exits tells of instances that ended by themselves; it is closed when Run returns.
func (c *Client) Exits() <-chan Exit { return c.exits }

func (c *Client) call(ctx context.Context, r Request, files ...*os.File) (Reply, []*os.File, error) {
	ch := make(chan answer, 1)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return Reply{}, nil, ErrClosed
	}
	c.seq++
	r.Seq = c.seq
	c.waiting[r.Seq] = ch
	c.mu.Unlock()
	packet, err := Encode(r)
	if err == nil {
		err = c.conn.Write(packet, files...)
	}
	if err != nil {
		c.mu.Lock()
		delete(c.waiting, r.Seq)
		c.mu.Unlock()
		return Reply{}, nil, err
	}
	select {
	case a, ok := <-ch:
		if !ok {
			return Reply{}, nil, ErrClosed
		}
		if a.reply.Error != "" {
			CloseAll(a.files)
			if a.reply.Code != "" {
				return Reply{}, nil, &hearth.Error{Code: hearth.Code(a.reply.Code), Component: hearth.ComponentPlatform, Message: a.reply.Error}
			}
			return Reply{}, nil, errors.New(a.reply.Error)
		}
		return a.reply, a.files, nil
	case <-ctx.Done():
		c.mu.Lock()
		_, unanswered := c.waiting[r.Seq]
		delete(c.waiting, r.Seq)
		c.mu.Unlock()
		if !unanswered { // the answer was on its way: take it, or what it brings would leak
			if a, ok := <-ch; ok && a.reply.Error == "" {
				return a.reply, a.files, nil
			}
		}
		return Reply{}, nil, context.Cause(ctx)
	}
}

// Start makes a new instance. When ctx ends first, an instance that the warden makes all the same is
// destroyed.
func (c *Client) Start(ctx context.Context, runtime string, l Limits) (*Sandbox, error) {
	r, files, err := c.call(ctx, Request{Start: &StartRequest{Runtime: runtime, Limits: l}})
	if err != nil {
		CloseAll(files)
		return nil, fmt.Errorf("start %s instance: %w", runtime, err)
	}
	return sandbox(Listed{ID: r.ID, Runtime: runtime}, files)
}

// StartBuild makes a new build sandbox of a runtime, as Start makes an instance.
func (c *Client) StartBuild(ctx context.Context, runtime string, l Limits) (*Sandbox, error) {
	r, files, err := c.call(ctx, Request{Start: &StartRequest{Runtime: runtime, Limits: l, Build: true}})
	if err != nil {
		CloseAll(files)
		return nil, fmt.Errorf("start %s build sandbox: %w", runtime, err)
	}
	if len(files) != sandboxFiles+1 {
		CloseAll(files)
		return nil, fmt.Errorf("build sandbox %s came with %d descriptors, not %d", r.ID, len(files), sandboxFiles+1)
	}
	s, err := sandbox(Listed{ID: r.ID, Runtime: runtime}, files[:sandboxFiles])
	if err != nil {
		return nil, err
	}
	s.Registry = files[sandboxFiles]
	return s, nil
}

// Adopt takes over an instance that an earlier node process left.
func (c *Client) Adopt(ctx context.Context, l Listed) (*Sandbox, error) {
	_, files, err := c.call(ctx, Request{Adopt: &InstanceRequest{ID: l.ID}})
	if err != nil {
		CloseAll(files)
		return nil, fmt.Errorf("adopt instance %s: %w", l.ID, err)
	}
	return sandbox(l, files)
}

func sandbox(l Listed, files []*os.File) (*Sandbox, error) {
	if len(files) != sandboxFiles {
		CloseAll(files)
		return nil, fmt.Errorf("instance %s came with %d descriptors, not %d", l.ID, len(files), sandboxFiles)
	}
	return &Sandbox{ID: l.ID, Runtime: l.Runtime, Label: l.Label, Dropped: l.Dropped,
		Stdout: files[0], Stderr: files[1], Code: files[2], Requests: files[3], Control: files[4]}, nil
}

// Limit changes the limits of an instance.
func (c *Client) Limit(ctx context.Context, id string, l Limits) error {
	return c.plain(ctx, "limit", id, Request{Limit: &LimitRequest{ID: id, Limits: l}})
}

// Label says what an instance is for, opaque to the warden, at most MaxLabel bytes. It is set before
// any code goes in, so that an instance without a label has none.
func (c *Client) Label(ctx context.Context, id, label string) error {
	return c.plain(ctx, "label", id, Request{Label: &LabelRequest{ID: id, Label: label}})
}

// Mount shows the package store in an instance, at /packages, for as long as it lives. Once more does
// nothing.
func (c *Client) Mount(ctx context.Context, id string) error {
	return c.plain(ctx, "mount packages in", id, Request{Mount: &InstanceRequest{ID: id}})
}

// Freeze stops every process of an instance, or lets them go on, and returns when it is so.
func (c *Client) Freeze(ctx context.Context, id string, frozen bool) error {
	return c.plain(ctx, "freeze", id, Request{Freeze: &FreezeRequest{ID: id, Frozen: frozen}})
}

// Destroy ends an instance and returns when its processes, mounts and cgroups are gone. One that is
// gone already is no error.
func (c *Client) Destroy(ctx context.Context, id string) error {
	return c.plain(ctx, "destroy", id, Request{Destroy: &InstanceRequest{ID: id}})
}

func (c *Client) plain(ctx context.Context, verb, id string, r Request) error {
	_, files, err := c.call(ctx, r)
	CloseAll(files)
	if err != nil {
		return fmt.Errorf("%s instance %s: %w", verb, id, err)
	}
	return nil
}

// List returns the live instances.
func (c *Client) List(ctx context.Context) ([]Listed, error) {
	var all []Listed
	for {
		page := PageRequest{}
		if len(all) > 0 {
			page.After = all[len(all)-1].ID
		}
		r, files, err := c.call(ctx, Request{List: &page})
		CloseAll(files)
		if err != nil {
			return nil, fmt.Errorf("list instances: %w", err)
		}
		all = append(all, r.List...)
		if !r.More || len(r.List) == 0 {
			return all, nil
		}
	}
}

// Stats returns what each live instance uses.
func (c *Client) Stats(ctx context.Context) ([]Stats, error) {
	var all []Stats
	for {
		page := PageRequest{}
		if len(all) > 0 {
			page.After = all[len(all)-1].ID
		}
		r, files, err := c.call(ctx, Request{Stats: &page})
		CloseAll(files)
		if err != nil {
			return nil, fmt.Errorf("read instance stats: %w", err)
		}
		all = append(all, r.Stats...)
		if !r.More || len(r.Stats) == 0 {
			return all, nil
		}
	}
}

// Image asks whether an image is made.
func (c *Client) Image(ctx context.Context, q ImageRequest) (Image, error) {
	r, files, err := c.call(ctx, Request{Image: &q})
	CloseAll(files)
	if err == nil && r.Image == nil {
		err = errors.New("no answer")
	}
	if err != nil {
		return Image{}, fmt.Errorf("ask for image of %s: %w", q, err)
	}
	return *r.Image, nil
}

// PutImage hands over the tarball of a package that the image was said to lack. The warden makes the
// image once it has all of them; the answer is the same as that of Image.
func (c *Client) PutImage(ctx context.Context, q ImageRequest, name string, tarball *os.File) (Image, error) {
	r, files, err := c.call(ctx, Request{ImagePut: &ImagePutRequest{ImageRequest: q, Package: name}}, tarball)
	CloseAll(files)
	if err == nil && r.Image == nil {
		err = errors.New("no answer")
	}
	if err != nil {
		return Image{}, fmt.Errorf("make image of %s: %w", q, err)
	}
	return *r.Image, nil
}

// String names the image in errors and logs.
func (q ImageRequest) String() string {
	if q.Build {
		return "build-" + q.Runtime
	}
	return q.Runtime
}

// TLS returns the certificate and key files as they are on disk now.
func (c *Client) TLS(ctx context.Context) (cert, key *os.File, err error) {
	_, files, err := c.call(ctx, Request{TLS: &TLSRequest{}})
	if err == nil && len(files) != 2 {
		err = fmt.Errorf("%d descriptors, not 2", len(files))
	}
	if err != nil {
		CloseAll(files)
		return nil, nil, fmt.Errorf("ask for certificate: %w", err)
	}
	return files[0], files[1], nil
}
