package source

import (
	"fmt"
	"io"
	"os"
	"strings"

	"hearth"
)

// SecretFromFile reads the value of a secret from a file, or from stdin for "-". One line feed at the
// end is cut off, since editors and echo put it there.
func SecretFromFile(name string, stdin io.Reader) (string, error) {
	from, limit := stdin, hearth.LimitSecretBytes
	limit.Value++ // the line feed
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("read secret: %w", err)
		}
		defer f.Close() //nolint:errcheck // only read
		from = f
	}
	data, err := read(from, limit)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if value == "" {
		return "", fmt.Errorf("read secret: %s holds nothing", strings.Replace(name, "-", "stdin", 1))
	}
	return value, nil
}

// SecretFromEnv takes the value of a secret from a variable of environ, as os.Environ gives it.
func SecretFromEnv(name string, environ []string) (string, error) {
	for _, e := range environ {
		if k, v, _ := strings.Cut(e, "="); k == name && v != "" {
			return v, nil
		}
	}
	return "", fmt.Errorf("variable %s is not set", name)
}
