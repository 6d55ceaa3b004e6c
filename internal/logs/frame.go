package logs

import (
	"bytes"
	"strconv"
	"time"
	"unicode/utf8"

	"hearth"
)

// The shim wraps what a function prints:
//
//	\x1e function \x1f version \x1f request \x1f level \x1f n \n  n bytes  \n
//
// without the blanks; function and version are empty for what was printed outside of a request.
// Everything that is not exactly so is plain lines.
const (
	frameStart = 0x1e
	frameSep   = 0x1f
	maxHeader  = 512 // bytes up to its newline; the longest valid one has about 300

	lineIdle  = 200 * time.Millisecond
	frameIdle = 5 * time.Second
)

// line is one entry that came out of a pipe. The slices live until the next call of the parser.
type line struct {
	framed                   bool
	function, request, level []byte // function may be empty
	version                  int
	text                     []byte
}

// parser cuts a pipe's bytes into lines. It keeps at most one frame of bytes, and nothing while the
// pipe is silent.
type parser struct{ buf []byte }

// feed emits every line that b completes. A line longer than LimitLogLine comes in pieces.
func (p *parser) feed(b []byte, emit func(line)) {
	data := b
	if len(p.buf) > 0 {
		p.buf = append(p.buf, b...)
		data = p.buf
	}
	n := parse(data, false, emit)
	switch rest := data[n:]; {
	case len(rest) == 0 && cap(p.buf) > 4<<10:
		p.buf = nil
	case len(p.buf) == 0 || n > 0:
		p.buf = append(p.buf[:0], rest...)
	}
}

// flush emits what is left, a frame that is cut short too; the next byte begins a new line.
func (p *parser) flush(emit func(line)) {
	parse(p.buf, true, emit)
	p.buf = nil
}

// patience is how long to wait for the rest of what began; 0: nothing did. A frame gets more than a
// line, since a process that its cgroup throttles can stop in the middle of one.
func (p *parser) patience() time.Duration {
	switch {
	case len(p.buf) == 0:
		return 0
	case p.buf[0] == frameStart:
		return frameIdle
	}
	return lineIdle
}

// parse emits the lines of data and returns how many bytes it used; all, if no more will come.
func parse(data []byte, last bool, emit func(line)) (used int) {
	limit := hearth.LimitLogLine.Int()
	for used < len(data) {
		rest := data[used:]
		if rest[0] == frameStart {
			h, n, ok := parseHeader(rest)
			switch {
			case !ok && n < 0 && !last:
				return used // the header is not complete
			case !ok:
			case len(rest) <= n+h.size && !last:
				return used // the text or its newline is not complete
			case len(rest) <= n+h.size:
				h.text = trimNewline(rest[n:min(len(rest), n+h.size)])
				emit(h.line)
				return len(data)
			case rest[n+h.size] == '\n':
				h.text = trimNewline(rest[n : n+h.size])
				emit(h.line)
				used += n + h.size + 1
				continue
			}
		}
		nl := bytes.IndexByte(rest[:min(len(rest), limit+1)], '\n')
		switch {
		case nl >= 0:
			// A frame may follow what was printed without a newline. Its header reaches to this newline.
			if i := bytes.LastIndexByte(rest[:nl], frameStart); i > 0 {
				if _, _, ok := parseHeader(rest[i : nl+1]); ok {
					emit(line{text: rest[:i]})
					used += i
					continue
				}
			}
			emit(line{text: rest[:nl]})
			used += nl + 1
		case len(rest) > limit:
			n := wholeRunes(rest[:limit])
			emit(line{text: rest[:n]})
			used += n
		case last:
			emit(line{text: rest})
			return len(data)
		default:
			return used
		}
	}
	return used
}

type header struct {
	line
	size int
}

// parseHeader reads the header with which b begins and its length with the newline; n is -1 if b
// may be the beginning of one.
func parseHeader(b []byte) (h header, n int, ok bool) {
	nl := bytes.IndexByte(b[:min(len(b), maxHeader)], '\n')
	if nl < 0 {
		if len(b) < maxHeader {
			return h, -1, false
		}
		return h, 0, false
	}
	var field [5][]byte
	rest := b[1:nl]
	for i := range field {
		var more bool
		field[i], rest, more = bytes.Cut(rest, []byte{frameSep})
		if more != (i < len(field)-1) {
			return h, 0, false
		}
	}
	version, okFunction := decimal(field[1], 9)
	okFunction = okFunction && hearth.ValidName(string(field[0])) || len(field[0]) == 0 && len(field[1]) == 0
	size, okSize := decimal(field[4], 6)
	if !okFunction || !okSize || size > hearth.LimitLogLine.Int() ||
		!validWord(field[2]) || !validWord(field[3]) {
		return h, 0, false
	}
	return header{line{framed: true, function: field[0], version: version, request: field[2], level: field[3]}, size}, nl + 1, true
}

// decimal reads 1 to digits decimal digits.
func decimal(b []byte, digits int) (int, bool) {
	if len(b) == 0 || len(b) > digits {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(string(b))
	return n, err == nil
}

// validWord accepts a request id or a level: at most 128 letters, digits and -_.:, or nothing.
func validWord(b []byte) bool {
	if len(b) > maxWord {
		return false
	}
	for _, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}

// trimNewline takes off one newline, which process.stdout.write leaves at the end and console.log does not.
func trimNewline(b []byte) []byte { return bytes.TrimSuffix(b, []byte("\n")) }

// wholeRunes returns how much of b to take so that no character is cut in two.
func wholeRunes(b []byte) int {
	for n := len(b) - 1; n > 0 && n >= len(b)-utf8.UTFMax; n-- {
		if utf8.RuneStart(b[n]) {
			if utf8.FullRune(b[n:]) {
				return len(b)
			}
			return n
		}
	}
	return len(b)
}
