package proxy

import (
	"strconv"
	"strings"
	"time"

	"hearth"
)

// Call is what the host knows of one request, also when the function's code never ran.
type Call struct {
	Status  int // of the answer; 499: the client went away before there was one
	Start   hearth.Start
	Version int

	Instance    string
	MemoryBytes int64 // of the instance, when it was last looked at

	Waits                   // measured here
	Load, Run time.Duration // said by the instance: a hint, bounded
	Total     time.Duration

	Error     string // one sentence, empty if the function answered
	Component hearth.Component
	Reason    string
}

// Waits is what a cold request waited for, in the order in which it came.
type Waits struct {
	Queue  time.Duration // for an instance
	Fetch  time.Duration // until its packages had come from the blob store
	Link   time.Duration // until they were linked on this node's disk
	Assign time.Duration // until the instance had its label, limits and code
}

// statusClientGone is recorded, never sent.
const statusClientGone = 499

// outcomeReason turns an instance's hearth-outcome into the reason of a call's record; anything but
// the words that the shim uses says nothing.
func outcomeReason(s string) string {
	switch s {
	case "error", "load-error", "no-shape", "timeout", "exit":
		return s
	}
	return ""
}

// timing reads "load=12.3,run=4.5", in milliseconds. It is the tenant's speech: what is not a
// number between zero and a day is left out.
func (c *Call) timing(s string) {
	for range 8 {
		var part string
		part, s, _ = strings.Cut(s, ",")
		name, value, _ := strings.Cut(part, "=")
		ms, err := strconv.ParseFloat(value, 64)
		if err == nil && ms >= 0 && ms <= 86_400_000 {
			d := time.Duration(ms * float64(time.Millisecond))
			switch name {
			case "load":
				c.Load = d
			case "run":
				c.Run = d
			}
		}
		if s == "" {
			return
		}
	}
}
