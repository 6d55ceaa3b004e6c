package main

import (
	"fmt"
	"sync"
	"time"

	"hearth/client"
	"hearth/cmd/hearth/internal/tty"
)

// plainEvery is how often, where no line can be rewritten, another one tells of counts that grew.
const plainEvery = 2 * time.Second

// status shows what is waited for: on a terminal one line that is rewritten, with how long it takes;
// elsewhere a line for each step.
type status struct {
	s    *streams
	what string
	wg   sync.WaitGroup
	done chan struct{}

	mu   sync.Mutex
	more string // what is done now

	said   string    // the step of the last plain line
	saidAt time.Time // of the last plain line
	waits  string    // what it said of a wait
}

// progress begins to show what is waited for, until stop is called.
func (s *streams) progress(what string) *status {
	st := &status{s: s, what: what, done: make(chan struct{})}
	if !s.talk {
		return st
	}
	began := time.Now()
	st.wg.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-st.done:
				fmt.Fprint(s.err, "\r\x1b[K") //nolint:errcheck // nowhere left to say it
				return
			case <-tick.C:
				fmt.Fprintf(s.err, "\r\x1b[K%s … %.1f s", tty.Escape(st.line()), time.Since(began).Seconds()) //nolint:errcheck // nowhere left to say it
			}
		}
	})
	return st
}

// stop removes what is shown. It is called once, before anything else is said.
func (st *status) stop() {
	close(st.done)
	st.wg.Wait()
}

// lineMost keeps the line from being broken, since only its last part would be rewritten then.
const lineMost = 110

func (st *status) line() string {
	st.mu.Lock()
	defer st.mu.Unlock()
	line := st.what
	if st.more != "" {
		line += ": " + st.more
	}
	if r := []rune(line); len(r) > lineMost {
		line = string(r[:lineMost-1]) + "…"
	}
	return line
}

// show tells how far a deploy is.
func (st *status) show(p client.Progress) {
	text := progressText(p)
	st.mu.Lock()
	st.more = text
	st.mu.Unlock()
	if st.s.talk || text == "" {
		return
	}
	if p.Stage == st.said && p.Waiting == st.waits && time.Since(st.saidAt) < plainEvery {
		return
	}
	st.said, st.waits, st.saidAt = p.Stage, p.Waiting, time.Now()
	st.s.say("%s", text)
}

// progressText is "" where there is nothing to tell of packages.
func progressText(p client.Progress) string {
	text := ""
	switch p.Stage {
	case "locking":
		text = "settling the versions of the packages"
	case "building":
		text = fmt.Sprintf("%s: %d known, %d fetched, %d built", count(p.Total, "package"), p.Known, p.Fetched, p.Built)
	case "linking":
		text = "linking " + count(p.Total, "package")
	default:
		return ""
	}
	if p.Waiting != "" {
		text += "; waits: " + p.Waiting
	}
	return text
}
