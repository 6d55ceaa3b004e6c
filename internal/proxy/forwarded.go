package proxy

import (
	"net/http"
	"net/netip"
	"strings"

	"golang.org/x/net/http/httpguts"

	"hearth/internal/pool/upstream"
)

// trusted are the proxies whose word about a client counts.
type trusted []netip.Prefix

func (t trusted) has(a netip.Addr) bool {
	for _, p := range t {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// maxHops bounds how many addresses of a chain are looked at, from the right.
const maxHops = 16

// origin is where a request came from, as far as it can be believed.
type origin struct {
	chain []string // addresses, the client's first; the last one is the peer's
	proto string   // http, https
	host  string
}

// originOf finds the origin of a request. Only if the peer is a trusted proxy is what it wrote about
// the hop before it believed, and so on to the left; what stands left of the first address that is
// not trusted could have been written by anybody.
func (t trusted) originOf(r *http.Request, o *origin, one *[1]string) {
	o.proto, o.host = "http", r.Host
	if r.TLS != nil {
		o.proto = "https"
	}
	peer, ok := peerOf(r.RemoteAddr)
	one[0] = "unknown"
	if ok {
		one[0] = hostOf(r.RemoteAddr)
	}
	o.chain = one[:]
	if !ok || len(t) == 0 || !t.has(peer) {
		return
	}
	hops := lastHops(r.Header)
	o.chain = []string{one[0]}
	for _, h := range hops {
		o.chain = append([]string{h.addr.String()}, o.chain...)
		if h.proto != "" {
			o.proto = h.proto
		}
		if h.host != "" {
			o.host = h.host
		}
		if !t.has(h.addr) {
			break
		}
	}
	if len(hops) == 0 || r.Header["X-Forwarded-For"] != nil {
		if v := lastElement(r.Header["X-Forwarded-Proto"]); v == "http" || v == "https" {
			o.proto = v
		}
		if v := lastElement(r.Header["X-Forwarded-Host"]); validHost(v) {
			o.host = v
		}
	}
}

// peerOf parses the address of a connection's other end.
func peerOf(remote string) (netip.Addr, bool) {
	ap, err := netip.ParseAddrPort(remote)
	return ap.Addr().Unmap().WithZone(""), err == nil
}

// hostOf cuts the port and the brackets off an address with a port.
func hostOf(remote string) string {
	s := remote[:strings.LastIndexByte(remote, ':')]
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	s, _, _ = strings.Cut(s, "%")
	return strings.TrimPrefix(s, "::ffff:")
}

// hop is one element of a chain, as the proxy to its right wrote it.
type hop struct {
	addr        netip.Addr
	proto, host string
}

// lastHops returns the chain's hops from the right, up to the first that is not an address:
// X-Forwarded-For if there is one, else Forwarded. Two that disagree are thus never mixed.
func lastHops(h http.Header) []hop {
	var hops []hop
	if lines := h["X-Forwarded-For"]; lines != nil {
		for e := range elementsFromRight(lines) {
			a, ok := parseNode(e)
			if !ok || len(hops) == maxHops {
				break
			}
			hops = append(hops, hop{addr: a})
		}
		return hops
	}
	for e := range elementsFromRight(h["Forwarded"]) {
		hp, ok := parseForwarded(e)
		if !ok || len(hops) == maxHops {
			break
		}
		hops = append(hops, hp)
	}
	return hops
}

// elementsFromRight yields the comma separated elements of a field's lines, last first. A comma in
// a quoted string belongs to the string.
func elementsFromRight(lines []string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i := len(lines) - 1; i >= 0; i-- {
			line, end, quoted := lines[i], len(lines[i]), false
			for j := len(line) - 1; j >= 0; j-- {
				switch {
				case line[j] == '"' && (j == 0 || line[j-1] != '\\'):
					quoted = !quoted
				case line[j] == ',' && !quoted:
					if !yield(strings.Trim(line[j+1:end], " \t")) {
						return
					}
					end = j
				}
			}
			if !yield(strings.Trim(line[:end], " \t")) {
				return
			}
		}
	}
}

func lastElement(lines []string) string {
	for e := range elementsFromRight(lines) {
		return e
	}
	return ""
}

// parseForwarded parses one element of Forwarded (RFC 7239, section 4). ok is false if it is not
// well formed or its for is no address.
func parseForwarded(s string) (h hop, ok bool) {
	for more := true; more; {
		var name, value string
		name, s, ok = strings.Cut(s, "=")
		if name = strings.Trim(name, " \t"); !ok || !httpguts.ValidHeaderFieldName(name) {
			return hop{}, false
		}
		if value, s, more, ok = pairValue(s); !ok {
			return hop{}, false
		}
		switch strings.ToLower(name) {
		case "for":
			if h.addr.IsValid() {
				return hop{}, false
			}
			if h.addr, ok = parseNode(value); !ok {
				return hop{}, false
			}
		case "proto":
			if value = strings.ToLower(value); value == "http" || value == "https" {
				h.proto = value
			}
		case "host":
			if validHost(value) {
				h.host = value
			}
		}
	}
	return h, h.addr.IsValid()
}

// pairValue takes a token or a quoted string, and the semicolon behind it if there is more.
func pairValue(s string) (value, rest string, more, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, more = strings.Cut(s, ";")
		value = strings.TrimRight(value, " \t")
		return value, rest, more, httpguts.ValidHeaderFieldName(value) // a token
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			rest = strings.Trim(s[i+1:], " \t")
			if rest == "" {
				return b.String(), "", false, true
			}
			rest, more = strings.CutPrefix(rest, ";")
			return b.String(), rest, true, more
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false, false
}

// parseNode parses an address with or without brackets and port.
func parseNode(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		a = ap.Addr()
	}
	return a.Unmap().WithZone(""), true
}

func validHost(s string) bool {
	return s != "" && len(s) <= 255 && httpguts.ValidHostHeader(s) && !strings.ContainsAny(s, `"\,; `)
}

// write adds the fields that tell the function where a request came from.
func (o *origin) write(c *upstream.Conn) {
	if len(o.chain) == 1 {
		c.Field("X-Forwarded-For", o.chain[0])
	} else {
		c.Field("X-Forwarded-For", strings.Join(o.chain, ", "))
	}
	c.Field("X-Forwarded-Proto", o.proto)
	c.Field("X-Forwarded-Host", o.host)
	open, end := nodeQuotes(o.chain[0])
	host, hostEnd := ";host=\"", "\""
	if !validHost(o.host) {
		host, hostEnd = "", ""
	}
	hostText := o.host
	if host == "" {
		hostText = ""
	}
	if len(o.chain) == 1 {
		c.Field("Forwarded", "for=", open, o.chain[0], end, host, hostText, hostEnd, ";proto=", o.proto)
		return
	}
	var more strings.Builder
	for _, a := range o.chain[1:] {
		open, end := nodeQuotes(a)
		more.WriteString(", for=" + open + a + end)
	}
	c.Field("Forwarded", "for=", open, o.chain[0], end, host, hostText, hostEnd, ";proto=", o.proto, more.String())
}

// nodeQuotes returns what stands around an address in Forwarded: IPv6 needs brackets and quotes.
func nodeQuotes(addr string) (open, end string) {
	if strings.Contains(addr, ":") {
		return `"[`, `]"`
	}
	return "", ""
}
