package registry

import (
	"encoding/base64"
	"errors"
	"io"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// npmrc is what npm's configuration files say, by key. The format is that of npm's ini parser as far
// as npm's own keys need it: https://docs.npmjs.com/cli/configuring-npm/npmrc
type npmrc struct {
	value  map[string]string
	source map[string]string // the file that a key is from
}

const npmrcBytes = 1 << 20 // an npmrc or a cafile; Debian's bundle of CA certificates has 220 KB

func newNpmrc() npmrc { return npmrc{map[string]string{}, map[string]string{}} }

func (n npmrc) get(key string) string { return n.value[key] }

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, npmrcBytes+1))
	if err == nil && len(text) > npmrcBytes {
		err = errors.New("it is larger than 1 MiB")
	}
	return text, err
}

// add takes the keys that no earlier file has. Within a file the last line wins, as in npm.
func (n npmrc) add(file string, text []byte, env func(string) string) {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == ';' || line[0] == '#' || line[0] == '[' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue // a switch without a value: none that concerns us
		}
		key = expand(unquote(strings.TrimSpace(key)), env)
		if from, taken := n.source[key]; taken && from != file {
			continue
		}
		n.value[key] = expand(unquote(strings.TrimSpace(value)), env)
		n.source[key] = file
	}
}

// unquote undoes quotes, or else takes away what follows a ; or # that has no backslash before it.
func unquote(s string) string {
	switch {
	case len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"':
		if v, err := strconv.Unquote(s); err == nil {
			return v
		}
		return s[1 : len(s)-1]
	case len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'':
		return s[1 : len(s)-1]
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ';' || c == '#':
			return strings.TrimSpace(out.String())
		case c == '\\' && i+1 < len(s) && strings.IndexByte(`\;#`, s[i+1]) >= 0:
			i++
			out.WriteByte(s[i])
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

var reference = regexp.MustCompile(`\$\{([^${}?]+)(\??)\}`)

// expand replaces ${NAME}. An unset one stays as it is, and with ${NAME?} becomes empty, as in npm.
func expand(s string, env func(string) string) string {
	return reference.ReplaceAllStringFunc(s, func(ref string) string {
		m := reference.FindStringSubmatch(ref)
		if v := env(m[1]); v != "" || m[2] == "?" {
			return v
		}
		return ref
	})
}

// auth returns the Authorization header for a registry, and the path below which it may be sent: of
// the keys "//host/path/:_authToken" and its kin, those with the longest path that the registry's URL
// begins with. A key without a host, as old npms took it, is ignored: it would send its secret to any
// registry.
func (n npmrc) auth(base *url.URL) (header, path string) {
	path = strings.TrimRight(base.Path, "/") + "/"
	for {
		key := "//" + base.Host + path
		if token := n.get(key + ":_authToken"); token != "" {
			return "Bearer " + token, path
		}
		if pair := n.get(key + ":_auth"); pair != "" {
			return "Basic " + pair, path
		}
		if user := n.get(key + ":username"); user != "" {
			password, err := base64.StdEncoding.DecodeString(n.get(key + ":_password"))
			if err == nil {
				return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+string(password))), path
			}
		}
		if path == "/" {
			return "", ""
		}
		path = path[:strings.LastIndexByte(strings.TrimRight(path, "/"), '/')+1]
	}
}
