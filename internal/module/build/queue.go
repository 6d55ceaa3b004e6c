package build

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// queue is River with wake-ups for jobs.
type queue struct {
	db     *sql.DB
	client *river.Client[*sql.Tx]
	kick   func(class int)

	mu   sync.Mutex
	next [2]int64 // the second of the last retry that was queued, by class
}

// wakeArgs is a wake-up of one class of builders.
type wakeArgs struct {
	Class int `json:"class"`
}

// Kind names the job in River's table.
func (wakeArgs) Kind() string { return "build" }

// waker hands a wake-up to the loops.
type waker struct {
	river.WorkerDefaults[wakeArgs]
	kick func(class int)
}

// Work never fails: the loops look at the table and know the rest.
func (w *waker) Work(_ context.Context, job *river.Job[wakeArgs]) error {
	if c := job.Args.Class; c == pure || c == scripted {
		w.kick(c)
	}
	return nil
}

// driver tells River that it hears of its own insertions by itself. The SQLite driver's listener would
// ask the database every 50 ms, for insertions of other processes, of which there are none on SQLite.
type driver struct{ *riversqlite.Driver }

func (driver) SupportsListener() bool { return false }

const (
	// pollEvery is how often River looks for retries that are due; the scheduler makes them so every 5 s.
	pollEvery = 2 * time.Second
	// cooldown is the least time between two looks; a wake-up waits for it.
	cooldown = 2 * time.Millisecond
	// keepJobs is how long River keeps what it has done, which tells nobody anything.
	keepJobs = time.Minute
)

// openQueue opens River's database. One that cannot be used is removed and made anew: it has nothing
// that the contents table does not say.
func openQueue(ctx context.Context, path string, log *slog.Logger, kick func(class int)) (*queue, error) {
	q, err := tryQueue(ctx, path, log, kick)
	if err == nil || ctx.Err() != nil {
		return q, err
	}
	log.Warn("cannot use the queue of builds; making it anew", "path", path, "err", err)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove the queue of builds: %w", err)
		}
	}
	return tryQueue(ctx, path, log, kick)
}

func tryQueue(ctx context.Context, path string, log *slog.Logger, kick func(class int)) (_ *queue, err error) {
	doing := func(what string, err error) error {
		return fmt.Errorf("open queue of builds %s: %s: %w", path, what, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, doing("make its folder", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, doing("make it", err)
	}
	f.Close()
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(),
		RawQuery: "_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=foreign_keys(1)"}
	q := &queue{kick: kick}
	if q.db, err = sql.Open("sqlite", u.String()); err != nil {
		return nil, doing("open", err)
	}
	defer func() {
		if err != nil {
			q.db.Close()
		}
	}()
	q.db.SetMaxOpenConns(1) // as the driver asks: two would find the database locked
	d := driver{riversqlite.New(q.db)}
	quiet := slog.New(quietHandler{log.Handler()})
	m, err := rivermigrate.New(d, &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return nil, doing("read migrations", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, doing("migrate", err)
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &waker{kick: kick})
	q.client, err = river.NewClient(d, &river.Config{
		Queues:                      map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 4}},
		Workers:                     workers,
		FetchCooldown:               cooldown,
		FetchPollInterval:           pollEvery,
		PollOnly:                    true,
		MaxAttempts:                 1,
		CompletedJobRetentionPeriod: keepJobs,
		DiscardedJobRetentionPeriod: keepJobs,
		CancelledJobRetentionPeriod: keepJobs,
		ReindexerIndexNames:         []string{},
		Logger:                      quiet,
	})
	if err != nil {
		return nil, doing("make its client", err)
	}
	return q, nil
}

func (q *queue) start(ctx context.Context) error {
	// Its own context: Run says when it ends, after the loops.
	return q.client.Start(context.WithoutCancel(ctx))
}

// stopTime bounds the end of River, whose jobs take microseconds.
const stopTime = 10 * time.Second

func (q *queue) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	q.client.StopAndCancel(ctx) // its error is that the time is over
}

func (q *queue) close() error { return q.db.Close() }

// wake inserts wake-ups in one batch: for now if at is zero, else for then.
func (q *queue) wake(ctx context.Context, at time.Time, classes ...int) error {
	var opts *river.InsertOpts
	if !at.IsZero() {
		// Many retries of one moment are one wake-up, at the next full second.
		at = at.Truncate(time.Second).Add(time.Second)
		q.mu.Lock()
		again := q.next[classes[0]] == at.Unix()
		q.next[classes[0]] = at.Unix()
		q.mu.Unlock()
		if again {
			return nil
		}
		opts = &river.InsertOpts{ScheduledAt: at}
	}
	params := make([]river.InsertManyParams, 0, len(classes))
	for _, c := range classes {
		params = append(params, river.InsertManyParams{Args: wakeArgs{c}, InsertOpts: opts})
	}
	_, err := q.client.InsertMany(ctx, params)
	if err != nil {
		return fmt.Errorf("insert wake-ups: %w", err)
	}
	return nil
}

// quietHandler keeps River's chatter out of the log.
type quietHandler struct{ slog.Handler }

// Enabled lets warnings through and what is worse.
func (h quietHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// WithAttrs keeps it quiet.
func (h quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps it quiet.
func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.Handler.WithGroup(name)}
}
