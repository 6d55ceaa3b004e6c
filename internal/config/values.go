package config

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An instance that idles for less than a second would be gone before a burst's second request, and
// one that idles for more than a week holds code that nobody calls.
const (
	minIdle = time.Second
	maxIdle = 7 * 24 * time.Hour
	maxAge  = 365 * 24 * time.Hour
)

// valueError says what is wrong with a value and what would be right.
type valueError struct{ problem, hint string }

func (e *valueError) Error() string { return e.problem + " (hint: " + e.hint + ")" }

func mistake(problem, hint string) error { return &valueError{problem, hint} }

// optional accepts the empty value, which turns the setting off, beside what check accepts.
func optional(check func(string) (string, error)) func(string) (string, error) {
	return func(s string) (string, error) {
		if s == "" {
			return "", nil
		}
		return check(s)
	}
}

func address(s string) (string, error) {
	const hint = "give HOST:PORT, as in 127.0.0.1:8080, or :8080 for all addresses"
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", mistake("is not an address", hint)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "", mistake("has no port from 0 to 65535", hint)
	}
	if host == "" {
		return s, nil
	}
	if _, err := netip.ParseAddr(host); err != nil {
		if _, err := domain(host); err != nil {
			return "", mistake("has a host that is neither an IP address nor a name", hint)
		}
	}
	return s, nil
}

var domainLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func domain(s string) (string, error) {
	const hint = "give a domain without scheme and port, as in functions.example.com"
	d := strings.ToLower(s)
	if len(d) > 253 {
		return "", mistake("is longer than 253 bytes", hint)
	}
	for label := range strings.SplitSeq(d, ".") {
		if !domainLabel.MatchString(label) {
			return "", mistake("is not a domain", hint)
		}
	}
	return d, nil
}

// prefixes reads a comma separated list of networks; an address alone is a network of one.
func prefixes(s string) ([]netip.Prefix, error) {
	const hint = "separate networks with commas, as in 10.0.0.0/8,192.0.2.7"
	list := []netip.Prefix{}
	if s == "" {
		return list, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		p, err := netip.ParsePrefix(part)
		if err != nil {
			a, aerr := netip.ParseAddr(part)
			if aerr != nil || a.Zone() != "" {
				return nil, mistake("is not a list of networks", hint)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p != p.Masked() {
			return nil, mistake("has bits set beyond a prefix", "write "+p.Masked().String())
		}
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list, nil
}

func joinPrefixes(list []netip.Prefix) string {
	var parts []string
	for _, p := range list {
		parts = append(parts, p.String())
	}
	return strings.Join(parts, ",")
}

func path(s string) (string, error) {
	if s == "" {
		return "", mistake("is empty", "give a path")
	}
	if strings.ContainsRune(s, 0) {
		return "", mistake("has a zero byte", "give a path")
	}
	return absolute(s)
}

// scheme accepts SCHEME:PATH; the later ones are known by name only, so that the error is honest.
func scheme(now string, later ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		hint := "give " + now + ":PATH"
		name, rest, ok := strings.Cut(s, ":")
		switch {
		case ok && slices.Contains(later, name):
			return "", mistake("needs "+name+", which this version of hearth cannot use yet", hint)
		case !ok || name != now:
			return "", mistake("is not of the form "+now+":PATH", hint)
		}
		rest = strings.TrimPrefix(rest, "//") // file:///path is the same as file:/path
		if strings.ContainsAny(rest, "?#") {
			return "", mistake("has parameters, and "+now+": takes none", hint)
		}
		p, err := path(rest)
		if err != nil {
			return "", mistake("names no path", hint)
		}
		return now + ":" + p, nil
	}
}

var accountName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,30}$`)

func account(s string) (string, error) {
	if s == "root" {
		return "", mistake("would give every room the rights of root", "give an account without rights, or leave the flag out")
	}
	if !accountName.MatchString(s) {
		return "", mistake("is not the name of an account", "give a name as in /etc/passwd")
	}
	return s, nil
}

func isolation(s string) (string, error) {
	if s == "gvisor" || s == "runsc" {
		return "", mistake("needs gVisor, which this version of hearth cannot use yet", "write runc or crun")
	}
	return oneOf("runc", "crun")(s)
}

func registry(s string) (string, error) {
	const hint = "give an http or https URL, as in https://npm.example.com/"
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", mistake("is not the URL of a registry", hint)
	case u.User != nil:
		return "", mistake("holds a password, which everybody on this machine could read", "put the credentials into the npmrc file")
	case u.RawQuery != "" || u.Fragment != "":
		return "", mistake("has a query or a fragment", hint)
	}
	return s, nil
}

func oneOf(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if slices.Contains(words, s) {
			return s, nil
		}
		return "", mistake("is unknown", "write "+strings.Join(words[:len(words)-1], ", ")+" or "+words[len(words)-1])
	}
}

func whole(s string, least, most int) (int, error) {
	hint := "give a whole number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most)
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return 0, mistake("is not a whole number", hint)
	case n < least || n > most:
		return 0, mistake("is out of range", hint)
	}
	return n, nil
}

func duration(s string, least, most time.Duration) (time.Duration, error) {
	hint := "give a duration from " + short(least) + " to " + short(most) + ", as in 90s or 10m"
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, mistake("is not a duration", hint)
	case d < least || d > most:
		return 0, mistake("is out of range", hint)
	}
	return d, nil
}

// units of sizes, the largest first.
var units = []struct {
	name  string
	shift int
}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}}

// size reads a size with its unit, of at least so many bytes.
func size(s string, least int64) (int64, error) {
	hint := "give a size of at least " + sized(least) + ", as in 512MiB or 20GiB"
	digits, shift := s, 0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			digits, shift = strings.TrimSpace(rest), u.shift
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case err != nil || n < 0:
		return 0, mistake("is not a size", hint)
	case shift == 0 && n != 0:
		return 0, mistake("has no unit", hint)
	case n > 1<<50>>shift || n<<shift < least:
		return 0, mistake("is out of range", hint)
	}
	return n << shift, nil
}

// sized prints a size in the largest unit that divides it.
func sized(n int64) string {
	for _, u := range units {
		if n != 0 && n%(1<<u.shift) == 0 {
			return strconv.FormatInt(n>>u.shift, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// short prints a duration without its zero parts: 10m and not 10m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
