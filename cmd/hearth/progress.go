package main

import (
	"fmt"
	"sync"
	"time"

	"hearth/cmd/hearth/internal/tty"
)

// progress shows on a terminal what is waited for and for how long, and removes it when stop is
// called; elsewhere it is silent.
func (s *streams) progress(what string) (stop func()) {
	if !s.talk {
		return func() {}
	}
	var (
		wg    sync.WaitGroup
		done  = make(chan struct{})
		began = time.Now()
	)
	wg.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				fmt.Fprint(s.err, "\r\x1b[K") //nolint:errcheck // nowhere left to say it
				return
			case <-tick.C:
				fmt.Fprintf(s.err, "\r\x1b[K%s … %.1f s", tty.Escape(what), time.Since(began).Seconds()) //nolint:errcheck // nowhere left to say it
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		wg.Wait()
	})
}
