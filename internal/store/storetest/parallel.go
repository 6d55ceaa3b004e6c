package storetest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"hearth"
	"hearth/internal/store"
)

// A hundred writers of different functions and one: nothing is lost, no number is used twice.
func testParallel(t *testing.T, f *Fixture) {
	f.Container("acme", "main")
	const writers = 100
	numbers := make([]int, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			s, _, err := f.PutFunction(t.Context(), Document(fmt.Sprintf("own-%d", i), "x"))
			if err != nil || s.Latest.Number != 1 {
				t.Errorf("put of its own: %+v, %v", s, err)
			}
			s, _, err = f.PutFunction(t.Context(), Document("shared", fmt.Sprint(i)))
			if err != nil {
				t.Errorf("put of the shared one: %v", err)
				return
			}
			numbers[i] = s.Latest.Number
		})
	}
	wg.Wait()
	seen := make(map[int]bool)
	for _, n := range numbers {
		if n < 1 || n > writers || seen[n] {
			t.Fatalf("version %d was given twice, or is out of range", n)
		}
		seen[n] = true
	}
	if s := f.Get("shared"); s.Latest.Number != writers || s.Revision != writers {
		t.Fatalf("after all: %+v", s)
	}
	if page, _, err := f.ListFunctions(t.Context(), "acme", "main", "", 100); err != nil || len(page) != 100 {
		t.Fatalf("list: %d, %v", len(page), err)
	}
}

// op is what a client asks of the one function of testLinearizable.
type op struct {
	kind   string // put, cas (put with If-Match), get, settle, rollback
	code   string
	etag   string
	number int
}

// seen is what it was told; of a version only what the model knows.
type seen struct {
	err            hearth.Code
	etag           string
	active, latest int
	digest         string
}

// versions is one function as its owner understands it, written down without regard to the store.
type versions struct {
	revision int64
	active   int
	all      []version // number 1 first; those that are trimmed stay here, out of reach
}

type version struct {
	code      string
	ready     bool
	activates bool
}

func newModel() versions {
	return versions{revision: 1, all: []version{{code: "code-0", activates: true}}}
}

func (m versions) clone() versions { m.all = slices.Clone(m.all); return m }

func (m versions) equal(o versions) bool {
	return m.revision == o.revision && m.active == o.active && slices.Equal(m.all, o.all)
}

func (m versions) kept(number int) bool {
	return number > len(m.all)-hearth.LimitVersions.Int() || number == m.active
}

func (m *versions) step(in op, digests map[string]string) seen {
	latest := &m.all[len(m.all)-1]
	switch in.kind {
	case "settle":
		if !m.kept(in.number) {
			return seen{err: hearth.CodeNotFound}
		}
		if v := &m.all[in.number-1]; !v.ready {
			v.ready = true
			if v.activates && in.number > m.active {
				m.active = in.number
			}
		}
		return seen{}
	case "rollback":
		if !m.kept(in.number) {
			return seen{err: hearth.CodeNotFound}
		}
		if !m.all[in.number-1].ready {
			return seen{err: hearth.CodeConflict}
		}
		changed := m.active != in.number
		for i := range m.all {
			if v := &m.all[i]; m.kept(i+1) && !v.ready && v.activates {
				v.activates, changed = false, true
			}
		}
		if m.active = in.number; changed {
			m.revision++
		}
	case "cas", "put":
		if in.kind == "cas" && in.etag != store.ETag("f", m.revision) {
			return seen{err: hearth.CodePreconditionFailed}
		}
		switch {
		case latest.code != in.code:
			m.all = append(m.all, version{code: in.code, activates: true})
			m.revision++
		case latest.ready && m.active != len(m.all):
			m.active = len(m.all)
			m.revision++
		case !latest.ready && !latest.activates:
			latest.activates = true
			m.revision++
		}
	}
	return seen{etag: store.ETag("f", m.revision), active: m.active, latest: len(m.all), digest: digests[m.all[len(m.all)-1].code]}
}

func (f *Fixture) observe(s store.FunctionState, err error) seen {
	if err != nil {
		return seen{err: hearth.CodeOf(err)}
	}
	return seen{etag: store.ETag("f", s.Revision), active: s.Function.Active, latest: s.Function.Latest, digest: s.Latest.Digest}
}

// The history of one function under twelve clients is one that a single client could have made.
func testLinearizable(t *testing.T, f *Fixture) {
	f.Container("acme", "main")
	first := f.Put("one", "code-0")
	digests := map[string]string{"code-0": first.Latest.Digest}
	for i := 1; i < 4; i++ { // learn the digests
		code := fmt.Sprint("code-", i)
		digests[code] = f.Put("tmp", code).Latest.Digest
	}
	const clients, each = 12, 12
	var mu sync.Mutex
	var history []porcupine.Operation
	start := time.Now()
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			last := first
			for i := range each {
				in := op{kind: []string{"put", "get", "cas", "settle", "get", "rollback"}[(client+i)%6], code: fmt.Sprint("code-", (client*5+i)%4)}
				call := time.Since(start).Nanoseconds()
				var state store.FunctionState
				var err error
				switch in.kind {
				case "get":
					state, err = f.GetFunction(t.Context(), "acme", "main", "one")
				case "put", "cas":
					doc := Document("one", in.code)
					if in.kind == "cas" {
						in.etag = store.ETag("f", last.Revision)
						doc.Precondition.IfMatch = store.ETag(last.ID, last.Revision)
					}
					state, _, err = f.PutFunction(t.Context(), doc)
				case "settle":
					in.number = last.Function.Latest
					err = f.Settle(t.Context(), hearth.Version{Tenant: "acme", Container: "main", Function: "one", Number: in.number, Status: hearth.StatusReady})
				case "rollback":
					in.number = max(last.Function.Latest-1, 1)
					state, err = f.Rollback(t.Context(), "acme", "main", "one", in.number, none)
				}
				out := seen{err: hearth.CodeOf(err)}
				if in.kind != "settle" && err == nil {
					out, last = f.observe(state, err), state
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: call, Return: time.Since(start).Nanoseconds()})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	m := porcupine.Model{
		Init: func() any { return newModel() },
		Step: func(state, input, output any) (bool, any) {
			next := state.(versions).clone()
			got := next.step(input.(op), digests)
			return got == output.(seen), next
		},
		Equal: func(a, b any) bool { return a.(versions).equal(b.(versions)) },
	}
	if result := porcupine.CheckOperationsTimeout(m, history, 10*time.Second); result != porcupine.Ok {
		t.Fatalf("the history of %d operations is not linearizable (%v)", len(history), result)
	}
}
