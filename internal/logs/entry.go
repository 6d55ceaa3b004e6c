package logs

import (
	"fmt"
	"time"

	"hearth"
)

// The streams of an entry.
const (
	StreamStdout  = "stdout"
	StreamStderr  = "stderr"
	StreamCall    = "call"    // the host's record of one call
	StreamDropped = "dropped" // here were lines that are lost; says how many and why
)

// Entry is one entry of a function's log. Text is the tenant's: valid UTF-8, otherwise as it was
// printed, control characters too; whoever shows it escapes it.
type Entry struct {
	Cursor   string    `json:"cursor"` // the place after this entry, for Read and Follow
	Time     time.Time `json:"time"`   // when the host read it, UTC
	Stream   string    `json:"stream"`
	Text     string    `json:"text"`
	Request  string    `json:"request,omitempty"` // a hint of the tenant's, except for stream call
	Version  int       `json:"version,omitempty"` // likewise
	Instance string    `json:"instance,omitempty"`
	Level    string    `json:"level,omitempty"` // log, info, warn, error, debug: a hint too
	Call     *Call     `json:"call,omitempty"`
	Dropped  *Dropped  `json:"dropped,omitempty"`
}

// Call is what the host measured of one call.
type Call struct {
	Status      int          `json:"status"` // of the answer, also when the code never ran
	Start       hearth.Start `json:"start,omitempty"`
	Version     int          `json:"version"`
	QueueMS     float64      `json:"queue_ms"`
	AssignMS    float64      `json:"assign_ms"`
	FetchMS     float64      `json:"fetch_ms"`
	LinkMS      float64      `json:"link_ms"`
	LoadMS      float64      `json:"load_ms"`
	RunMS       float64      `json:"run_ms"`
	TotalMS     float64      `json:"total_ms"`
	MemoryBytes int64        `json:"memory_bytes"`
	Instance    string       `json:"instance,omitempty"`
	Error       string       `json:"error,omitempty"` // cut to 1 KiB
	Component   string       `json:"component,omitempty"`
	Reason      string       `json:"reason,omitempty"`
}

// Text is the call in a few words.
func (c *Call) Text() string {
	s := fmt.Sprintf("%d in %.1f ms", c.Status, c.TotalMS)
	if c.Start != "" {
		s += ", " + string(c.Start)
	}
	if c.Reason != "" {
		s += ", " + c.Reason
	}
	if c.Error != "" {
		s += ": " + c.Error
	}
	return s
}

// The reasons for which lines are lost.
const (
	ReasonRate    = "rate"    // the container or function logged more than it may in a second
	ReasonQueue   = "queue"   // the disk did not keep up
	ReasonDisk    = "disk"    // the disk refused them
	ReasonRestart = "restart" // no node process was there to read them
	ReasonTrimmed = "trimmed" // the reader came later than the log is kept
	ReasonDamaged = "damaged" // they do not match their checksum
)

// Dropped counts lines that are lost at one place of a log.
type Dropped struct {
	Lines  int64  `json:"lines"` // 0: unknown, for ReasonRestart
	Bytes  int64  `json:"bytes"` // of text; 0: unknown, for ReasonTrimmed and ReasonDamaged
	Reason string `json:"reason"`
}

// Text says in one sentence what is lost and why.
func (d Dropped) Text() string {
	var what, why string
	switch {
	case d.Lines > 0 && d.Bytes > 0:
		what = fmt.Sprintf("%d lines (%d bytes) dropped: ", d.Lines, d.Bytes)
	case d.Lines > 0:
		what = fmt.Sprintf("%d lines dropped: ", d.Lines)
	default:
		what = fmt.Sprintf("%d bytes dropped: ", d.Bytes)
	}
	switch d.Reason {
	case ReasonRate:
		l := hearth.LimitLogRate
		why = fmt.Sprintf("what a container may log in a second is limited to %s (limit %s; %s)", l.Text(), l.Name, l.Raise)
	case ReasonQueue:
		why = "the disk did not keep up"
	case ReasonDisk:
		why = "the disk could not take them"
	case ReasonRestart:
		why = "Hearth was being restarted"
	case ReasonTrimmed:
		why = "they are older than the log is kept"
	default:
		why = "they are damaged on disk"
	}
	return what + why
}
