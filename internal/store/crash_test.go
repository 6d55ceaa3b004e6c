package store_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gocloud.dev/secrets/localsecrets"

	"hearth"
	"hearth/internal/store"
	"hearth/internal/store/storetest"
)

// The test binary is its own victim: with this variable it writes to the store in that directory and
// tells on stdout, until it is killed.
const crashDir = "HEARTH_STORE_CRASH_DIR"

const crashWorkers = 4

// fate is what a worker's function looks like, or will once what it is about to do is done.
type fate struct {
	Exists bool
	Latest int
	Active int
	Code   string // its first 64 bytes, so that a line fits a pipe in one piece
	Secret string
	Tree   string // of its latest version
	Built  bool   // the contents of that tree are ready
}

// crashLine is one line of a child: it is about to make Fate true, or Done, it was acknowledged.
type crashLine struct {
	Worker int
	Done   bool
	Fate   fate
}

func crashFunction(round, worker int) string { return fmt.Sprintf("r%d-w%d", round, worker) }

func crashChild(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	var round int
	_, err := fmt.Sscan(os.Getenv(crashDir+"_ROUND"), &round)
	fail(err)
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{Database: "sqlite:" + filepath.Join(dir, "hearth.db"), Blobs: "file:" + filepath.Join(dir, "blobs"),
		Keeper: localsecrets.NewKeeper([32]byte{1, 2, 3}), Log: slog.New(slog.DiscardHandler)})
	fail(err)
	_, _, err = s.PutTenant(ctx, hearth.Tenant{Name: "acme"}, store.Precondition{})
	fail(err)
	_, _, err = s.PutContainer(ctx, "acme", hearth.Container{Name: "main"}, store.Precondition{})
	fail(err)
	var mu sync.Mutex
	tell := func(l crashLine) {
		raw, err := json.Marshal(l)
		fail(err)
		mu.Lock()
		defer mu.Unlock()
		_, err = os.Stdout.Write(append(raw, '\n')) // at most 4096 bytes are written as one: the line is there or it is not
		fail(err)
	}
	var wg sync.WaitGroup
	for worker := range crashWorkers {
		wg.Go(func() {
			name := crashFunction(round, worker)
			var now fate
			do := func(next fate, act func() error) {
				tell(crashLine{worker, false, next})
				fail(act())
				tell(crashLine{worker, true, next})
				now = next
			}
			for i := 0; ; i++ {
				doc := storetest.Document(name, fmt.Sprintf("%s %d %s", name, i, randomText(20_000)))
				secret := fmt.Sprint("secret ", i)
				doc.Secrets = map[string]*string{"S": &secret}
				doc.Manifest.Dependencies = map[string]string{"a": "^1"}
				do(fate{true, now.Latest + 1, now.Active, string(doc.Files[0].Data[:64]), secret, "", false}, func() error {
					_, _, err := s.PutFunction(ctx, doc)
					return err
				})
				next := now
				fail(crashTree(ctx, s, name, i, do, &next))
				next.Active = next.Latest
				do(next, func() error {
					return s.Settle(ctx, hearth.Version{Tenant: "acme", Container: "main", Function: name, Number: next.Latest, Status: hearth.StatusReady})
				})
				next.Secret = ""
				do(next, func() error { return s.DeleteSecret(ctx, "acme", "main", name, "S") })
				if next.Active > 1 {
					next.Active--
					do(next, func() error {
						_, err := s.Rollback(ctx, "acme", "main", name, next.Active, store.Precondition{})
						return err
					})
				}
				if i%5 == 4 {
					do(fate{}, func() error { return s.DeleteFunction(ctx, "acme", "main", name, store.Precondition{}) })
				}
				if worker == 0 && i%3 == 0 {
					_, err := s.Sweep(ctx, 0)
					fail(err)
				}
			}
		})
	}
	wg.Wait()
}

// crashTree settles the packages of a version: half of them are its own, half all workers share.
func crashTree(ctx context.Context, s *store.Store, name string, i int, do func(fate, func() error), next *fate) error {
	tree := storetest.Tree(storetest.Pure(name, fmt.Sprint(i)), storetest.Pure("shared", fmt.Sprint(i)))
	if _, err := s.AddTree(ctx, tree, "acme"); err != nil {
		return err
	}
	for {
		jobs, err := s.ClaimContents(ctx, name, false, 4)
		if err != nil {
			return err
		}
		for {
			var built []store.Built
			for _, j := range jobs {
				digest := store.Digest([]byte(j.Content))
				if _, err := s.PutArchive(ctx, j.Content, strings.NewReader(j.Content), digest); err != nil {
					return err
				}
				built = append(built, store.Built{Content: j.Content, Token: j.Token, Digest: digest})
			}
			_, err := s.FinishContents(ctx, built)
			if err == nil {
				break
			}
			if !errors.Is(err, store.ErrBlobGone) { // another worker's sweep has no patience
				return err
			}
		}
		state, err := s.TreeState(ctx, tree.Key)
		if err != nil {
			return err
		}
		if state.Failure != nil {
			return errors.New(state.Failure.Message)
		}
		if state.Total > 0 && len(state.Missing) == 0 {
			break
		}
		time.Sleep(time.Millisecond) // another worker has it
	}
	next.Tree, next.Built = tree.Key, true
	do(*next, func() error {
		for {
			lock, err := s.PutLock(ctx, []byte(tree.Key))
			if err == nil {
				err = s.SettleTree(ctx, hearth.Version{Tenant: "acme", Container: "main", Function: name, Number: next.Latest}, tree.Key, lock)
			}
			if !errors.Is(err, store.ErrBlobGone) {
				return err
			}
		}
	})
	return nil
}

func randomText(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(rand.IntN(26))
	}
	return string(b)
}

// kill -9 at random moments: what was acknowledged is there, and nothing is half there.
func TestCrash(t *testing.T) {
	t.Parallel()
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	dir, acked := t.TempDir(), 0
	settled := map[string]fate{}
	for round := range rounds {
		if round%5 == 4 { // an empty directory, and no patience: the schema is being made
			fresh := t.TempDir()
			crash(t, fresh, round, func(<-chan crashLine) { time.Sleep(time.Duration(rnd.IntN(120)) * time.Millisecond) })
			inspect(t, fresh, nil)
			continue
		}
		lines := crash(t, dir, round, func(lines <-chan crashLine) {
			for range 2 + rnd.IntN(60) {
				<-lines
			}
			time.Sleep(time.Duration(rnd.IntN(3000)) * time.Microsecond)
		})
		may := map[string][]fate{}
		for worker := range crashWorkers {
			var last fate
			allowed := []fate{last}
			for _, l := range lines {
				if l.Worker != worker {
					continue
				}
				if allowed = append(allowed, l.Fate); l.Done {
					allowed = []fate{l.Fate}
					acked++
				}
			}
			may[crashFunction(round, worker)] = allowed
		}
		maps.Copy(settled, inspect(t, dir, may))
	}
	all := map[string][]fate{} // no later crash may have harmed what an earlier one left
	for name, f := range settled {
		all[name] = []fate{f}
	}
	inspect(t, dir, all)
	t.Logf("%d writes were acknowledged before %d kills", acked, rounds)
	if acked < rounds {
		t.Fatalf("only %d acknowledged writes; the test tests nothing", acked)
	}
}

// crash runs a child until wait, which may follow what it tells, returns; then it kills it, and
// returns all that it told.
func crash(t *testing.T, dir string, round int, wait func(lines <-chan crashLine)) (told []crashLine) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir, fmt.Sprint(crashDir, "_ROUND=", round))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan crashLine)
	waited := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // ends when the child does
		defer close(lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			var l crashLine
			if err := json.Unmarshal(in.Bytes(), &l); err != nil {
				t.Errorf("line %q: %v", in.Bytes(), err)
			}
			told = append(told, l)
			select {
			case lines <- l:
			case <-waited:
			}
		}
	})
	wait(lines)
	close(waited)
	if err := cmd.Process.Kill(); err != nil {
		t.Errorf("kill: %v (it ended by itself)", err)
	}
	wg.Wait()
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return told
}

// inspect opens what a crash left, compares it with what it may be, and returns what it is. May nil
// asks only that it is whole.
func inspect(t *testing.T, dir string, may map[string][]fate) (is map[string]fate) {
	t.Run("inspect", func(t *testing.T) { is = inspectNow(t, dir, may) }) // so that it is closed before the next crash
	return is
}

func inspectNow(t *testing.T, dir string, may map[string][]fate) map[string]fate {
	ctx := t.Context()
	f := storetest.New(t, func(t *testing.T, c store.Config) *store.Store { return openAt(t, c, dir) })
	if len(may) != crashWorkers { // a crash in the middle: reading all code again each time takes long
		store.CheckWhole(t, f.Store)
	}
	is := map[string]fate{}
	for name, allowed := range may {
		state, err := f.GetFunction(ctx, "acme", "main", name)
		got := fate{}
		if hearth.CodeOf(err) != hearth.CodeNotFound {
			if err != nil {
				t.Fatal(err)
			}
			files, err := f.Code(ctx, state.Latest.Digest)
			if err != nil {
				t.Fatalf("code of %s: %v", name, err)
			}
			values, _, err := f.SecretValues(ctx, "acme", "main", name)
			if err != nil {
				t.Fatal(err)
			}
			got = fate{true, state.Function.Latest, state.Function.Active, string(files[0].Data[:64]), values["S"], state.Latest.Tree, false}
			if got.Tree != "" {
				tree, err := f.TreeState(ctx, got.Tree)
				if err != nil {
					t.Fatal(err)
				}
				got.Built = tree.Total == 2 && len(tree.Missing) == 0
			}
		}
		if !slices.Contains(allowed, got) {
			short := func(f fate) string {
				return fmt.Sprintf("%v latest %d active %d code %.20q secret %q", f.Exists, f.Latest, f.Active, f.Code, f.Secret)
			}
			t.Errorf("%s is %s; it may be:", name, short(got))
			for _, a := range allowed {
				t.Errorf("\t%s", short(a))
			}
		}
		is[name] = got
	}
	return is
}
