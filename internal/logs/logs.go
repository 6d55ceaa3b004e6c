package logs

import (
	"context"
	"iter"
	"log/slog"
	"os"
)

// Config is what the logs need. Dir and Log are required; a zero number means the default.
type Config struct {
	Dir       string // made if absent; nobody else writes below it
	Log       *slog.Logger
	NodeBytes int64 // on disk for all functions of the node; default 4 GiB
}

// Logs keeps the logs of a node's functions.
type Logs struct{}

// New opens the logs in cfg.Dir.
func New(cfg Config) (*Logs, error) { return &Logs{}, nil }

// Run writes until ctx ends, then flushes and returns when every pipe is closed.
func (l *Logs) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Attach takes over the pipes of a new instance and drains them to their end; until Assign what
// comes is thrown away.
func (l *Logs) Attach(instanceID string, stdout, stderr *os.File) {}

// Owner is the container to which an instance is assigned. FunctionID finds the id of a function
// that the container has now.
type Owner struct {
	Tenant, Container, ContainerID string
	FunctionID                     func(function string) (id string, ok bool)
}

// Adopt takes over the pipes of an instance that was assigned under an earlier node process; what
// is in the pipes already belongs to the owner. missed is how many bytes the warden drained meanwhile.
func (l *Logs) Adopt(instanceID string, stdout, stderr *os.File, missed int64, o Owner) {}

// Assign says whose output it is from now on. What the instance printed before is thrown away.
func (l *Logs) Assign(instanceID string, tenant, container, containerID string, functionID func(function string) (id string, ok bool)) {
}

// Serving says that the instance is about to get its first request (or its trial load) of a
// function: lines without a frame go there until another is served. Call it before the code can run.
func (l *Logs) Serving(instanceID, function string, version int) {}

// Record keeps the record of one call. It never blocks; what does not fit is counted.
func (l *Logs) Record(functionID, tenant, container, function string, request string, c Call) {}

// Read returns at most limit (≤ 1,000) entries after the cursor since ("" is the oldest kept), and
// the cursor from which to go on.
func (l *Logs) Read(ctx context.Context, functionID string, since string, limit int) ([]Entry, string, error) {
	return nil, "", nil
}

// Find is Read for the entries of one request.
func (l *Logs) Find(ctx context.Context, functionID, request, since string, limit int) ([]Entry, string, error) {
	return nil, "", nil
}

// Back returns the cursor before the last n entries; 0 is the end.
func (l *Logs) Back(functionID string, n int) (string, error) { return "", nil }

// Follow yields the entries after since, then those that come, until ctx ends (no error) or the
// function is removed (not_found).
func (l *Logs) Follow(ctx context.Context, functionID, since string) iter.Seq2[Entry, error] {
	return func(func(Entry, error) bool) {}
}

// Remove deletes a function's log for ever: what still comes for this id is thrown away.
func (l *Logs) Remove(functionID string) error { return nil }

// Retain removes the logs of functions that no longer exist; for the start, when the process was
// killed between the function's end and its log's.
func (l *Logs) Retain(exists func(functionID string) bool) error { return nil }

// Stats are counts since the start.
type Stats struct {
	Lines, Bytes               int64 // written to disk
	DroppedLines, DroppedBytes int64
	Unattributed               int64 // of DroppedLines: no function was known for them
	DiskBytes                  int64 // kept on disk now
}

// Stats returns the counts.
func (l *Logs) Stats() Stats { return Stats{} }
