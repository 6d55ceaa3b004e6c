// Command testreport reads `go test -json` on its standard input and prints what a person wants of
// it: a line a package, the output of what failed, and at its end every skip with its reason. With
// -v it also prints what tests that passed have logged. It fails if a test did.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is a line of test2json; see `go doc cmd/test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build-output and build-fail, instead of Package
	Test       string
	Elapsed    float64 // seconds
	Output     string
}

func main() {
	verbose := flag.Bool("v", false, "print what tests that passed have logged")
	flag.Parse()
	ok, err := report(os.Stdin, os.Stdout, *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

func report(in io.Reader, out io.Writer, verbose bool) (ok bool, err error) {
	said := map[string][]string{} // by package and test
	var skips []string
	passed, failed, packages := 0, 0, 0
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return false, err
		}
		var e event
		if json.Unmarshal(line, &e) != nil {
			out.Write(line) // not an event: go's own words
			continue
		}
		key := e.Package + e.ImportPath + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			if !noise(e.Output) {
				said[key] = append(said[key], e.Output)
			}
			continue
		case "build-fail":
			failed++
			fmt.Fprint(out, strings.Join(said[key], ""))
		case "pass", "fail", "skip":
			count(e, &passed, &failed)
			if e.Test == "" {
				packages++
				fmt.Fprintf(out, "%-4s %s %.1fs\n", e.Action, e.Package, e.Elapsed)
			}
			if e.Test != "" && e.Action == "skip" {
				skips = append(skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, strings.TrimSpace(strings.Join(said[key], ""))))
			} else if text := strings.Join(said[key], ""); text != "" && (e.Action == "fail" || verbose && e.Test != "") {
				fmt.Fprintf(out, "--- %s %s\n%s", e.Action, key, text)
			}
		default:
			continue
		}
		delete(said, key)
	}
	for _, s := range skips {
		fmt.Fprintln(out, "skipped:", s)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", passed, failed, len(skips))
	return failed == 0 && packages > 0, nil
}

// count counts tests, and packages that fail without a test that does.
func count(e event, passed, failed *int) {
	switch {
	case e.Action == "pass" && e.Test != "":
		*passed++
	case e.Action == "fail":
		*failed++
	}
}

func noise(line string) bool {
	line = strings.TrimSpace(line)
	for _, prefix := range []string{"=== ", "--- PASS", "--- FAIL", "--- SKIP", "PASS", "FAIL", "ok  ", "coverage:"} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}
