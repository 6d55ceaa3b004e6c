package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"gocloud.dev/secrets/localsecrets"

	"hearth"
	"hearth/internal/api"
	"hearth/internal/auth"
	"hearth/internal/logs"
	"hearth/internal/store"
)

const testToken = "test-token-0123456789abcdef"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hearth": main})
}

// The scripts in testdata say what each command prints and with what it exits, against the real API
// and store.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			url, end, err := startHearth(e.WorkDir)
			if err != nil {
				return err
			}
			e.Defer(end)
			token := filepath.Join(e.WorkDir, "admin.token")
			if err := os.WriteFile(token, []byte(testToken+"\n"), 0o600); err != nil {
				return err
			}
			e.Setenv("HEARTH_URL", url)
			e.Setenv("HEARTH_TOKEN_FILE", token)
			e.Setenv("ADDR", strings.TrimPrefix(url, "http://"))
			e.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits runs a program and checks its exit code: exits 3 hearth get acme.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// startHearth serves the management API over a real store, and below /run an echo for every
// function.
func startHearth(dir string) (url string, end func(), err error) {
	ctx := context.Background()
	log := slog.New(slog.DiscardHandler)
	keeper := localsecrets.NewKeeper([32]byte{1})
	if dir, err = os.MkdirTemp(dir, "store"); err != nil {
		return "", nil, err
	}
	s, err := store.Open(ctx, store.Config{Database: "sqlite:" + dir + "/hearth.db", Blobs: "file:" + dir + "/blobs", Keeper: keeper, Log: log})
	if err != nil {
		return "", nil, err
	}
	admin, err := auth.NewAdmin([]byte(testToken))
	if err != nil {
		return "", nil, err
	}
	packs := &packs{store: s, runs: map[string]*packRun{}, ended: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("/", api.New(api.Config{Store: s, Deployer: settler{s, packs}, Settler: packs, Verifier: packs, Logs: journal{}, Auth: admin, Log: log, Isolation: []string{"runc", "crun"},
		Node: func() api.Node { return api.Node{Name: "n1", Runtimes: hearth.Runtimes, Isolation: []string{"runc"}} },
		URL: func(r *http.Request, t, c, f string) string {
			return "http://" + r.Host + "/run/" + t + "/" + c + "/" + f
		}}))
	mux.HandleFunc("/run/", echo)
	srv := httptest.NewServer(mux)
	return srv.URL, func() { close(packs.ended); srv.Close(); packs.wg.Wait(); _ = s.Close(); _ = keeper.Close() }, nil
}

// echo answers with what it was sent; the rest of the path may ask for a status.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Hearth-Start", "warm")
	w.Header().Set("Hearth-Version", "1")
	w.Header().Set("Hearth-Request-Id", "R1")
	w.Header().Set("X-Evil", "a\x9bb")
	if status, err := strconv.Atoi(filepath.Base(r.URL.Path)); err == nil {
		w.WriteHeader(status)
	}
	fmt.Fprintf(w, "%s %s %s %s %s", r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), r.Header.Get("X-Test"), body)
}

// settler stands in for the handler: a version whose code holds BROKEN fails, one with SLOW is never
// settled.
type settler struct {
	store *store.Store
	packs *packs
}

func (s settler) Settled(ctx context.Context, tenant, container, function string, version int) error {
	v, err := s.store.GetVersion(ctx, tenant, container, function, version)
	if err != nil {
		return err
	}
	if !v.Settled {
		if err := s.packs.settle(ctx, v); err != nil {
			return err
		}
		if v, err = s.store.GetVersion(ctx, tenant, container, function, version); err != nil || v.Status != hearth.StatusBuilding {
			return err
		}
	}
	files, err := s.store.Code(ctx, v.Digest)
	if err != nil {
		return err
	}
	v.Status, v.Loaded = hearth.StatusReady, hearth.Loaded{Model: hearth.ModelCallback, Parsed: true}
	for _, f := range files {
		switch {
		case bytes.Contains(f.Data, []byte("SLOW")):
			<-ctx.Done()
			return ctx.Err()
		case bytes.Contains(f.Data, []byte("BROKEN")):
			v.Status, v.Loaded = hearth.StatusFailed, hearth.Loaded{}
			v.Failure = &hearth.Failure{Reason: "syntax", Message: "SyntaxError: bad \x1b]0;title\a", Stack: "    at index.js:1"}
		}
	}
	return s.store.Settle(ctx, v)
}

// journal is the log of every function: hostile lines, and a call.
type journal struct{}

var entries = []logs.Entry{
	{Cursor: "c1", Stream: "stdout", Level: "log", Text: "hello \x1b[2J\u202ereversed", Request: "AAAAAAAAAAAA", Version: 1},
	{Cursor: "c2", Stream: "stderr", Level: "error", Text: "one\n2026-01-01 00:00:00.000 log forged\rover", Request: "BBBBBBBBBBBB", Version: 1},
	{Cursor: "c3", Stream: "call", Text: "200 in 1.5 ms, warm", Request: "AAAAAAAAAAAA", Version: 1},
}

func (journal) Read(_ context.Context, _, since string, limit int) ([]logs.Entry, string, error) {
	from := 0
	for i, e := range entries {
		if e.Cursor == since {
			from = i + 1
		}
	}
	list := entries[from:min(len(entries), from+min(limit, 2))] // short pages
	for i := range list {
		list[i].Time = time.Date(2026, 3, 1, 9, 41, i, 0, time.UTC)
	}
	next := since
	if len(list) > 0 {
		next = list[len(list)-1].Cursor
	}
	return list, next, nil
}

func (journal) Follow(ctx context.Context, _, _ string) iter.Seq2[logs.Entry, error] {
	return func(yield func(logs.Entry, error) bool) {
		yield(logs.Entry{Cursor: "c4", Time: time.Date(2026, 3, 1, 9, 42, 0, 0, time.UTC), Stream: "stdout", Text: "followed", Request: "CC"}, nil)
		<-ctx.Done()
	}
}
