package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds the YAML file: all settings with long comments are a few KiB.
const maxFile = 256 << 10

// setting is one value as its source spells it.
type setting struct {
	name   string // of the option
	value  string
	origin string // --pool, HEARTH_POOL, hearth.yml:3
	shown  string // what the source calls it, for errors
}

// readFile returns the bytes of a regular file that is not too long.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("file is longer than %d KiB", maxFile>>10)
	}
	return data, nil
}

// parseYAML reads a flat mapping of option names to scalars or lists of scalars. Underscores may
// stand for the dashes of a name. Anchors, aliases, tags, merges and further documents are refused:
// a setting should stand where one looks for it.
func parseYAML(file string, data []byte) (list []setting, mistakes Mistakes) {
	fail := func(line int, key, problem, hint string) {
		mistakes = append(mistakes, Mistake{Key: key, Origin: fmt.Sprintf("%s:%d", file, line), Problem: problem, Hint: hint})
	}
	// A nested flow collection costs the parser a stack frame and quadratic time for each level;
	// lists of settings are flat.
	if n := strings.Count(string(data), "[") + strings.Count(string(data), "{"); n > 256 {
		fail(1, "", "the file has more than 256 brackets", "write one key: value a line")
		return nil, mistakes
	}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		line, text := syntaxError(err)
		fail(line, "", "the file is not YAML: "+text, "write one key: value a line")
		return nil, mistakes
	}
	var pairs []*ast.MappingValueNode
	for i, doc := range tree.Docs {
		switch body := doc.Body.(type) {
		case nil, *ast.NullNode, *ast.CommentGroupNode:
			continue
		case *ast.MappingNode:
			pairs = append(pairs, body.Values...)
		case *ast.MappingValueNode:
			pairs = append(pairs, body)
		default:
			fail(lineOf(body), "", "the file is not a mapping", "write one key: value a line")
			continue
		}
		if i > 0 {
			fail(lineOf(doc.Body), "", "the file has more than one document", "keep one, without ---")
			return nil, mistakes
		}
	}
	seen := map[string]int{}
	for _, p := range pairs {
		line := lineOf(p.Key)
		key, ok := scalar(p.Key)
		if !ok {
			fail(line, "", "a key is not a plain word", "write one key: value a line")
			continue
		}
		name := strings.ReplaceAll(key, "_", "-")
		value, ok := valueOf(p.Value)
		switch {
		case seen[name] > 0:
			fail(line, key, fmt.Sprintf("is set twice, in line %d too", seen[name]), "keep one of them")
		case !ok:
			fail(line, key, "has no value, or one that is not text, a number, a boolean or a list of them", "write "+key+": value, or remove the line")
		default:
			list = append(list, setting{name: name, value: value, origin: fmt.Sprintf("%s:%d", file, line), shown: key})
		}
		seen[name] = line
	}
	return list, mistakes
}

func valueOf(n ast.Node) (string, bool) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		return scalar(n)
	}
	var parts []string
	for _, item := range seq.Values {
		s, ok := scalar(item)
		if !ok {
			return "", false
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ","), true
}

// scalar returns the text of a scalar as it was written, so that 010 stays 010 and is refused by
// the option's own check instead of becoming 8.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

func lineOf(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 1
	}
	return n.GetToken().Position.Line
}

func syntaxError(err error) (line int, text string) {
	line, text = 1, err.Error()
	var y yaml.Error
	if errors.As(err, &y) {
		text = y.GetMessage()
		if t := y.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
	}
	text, _, _ = strings.Cut(text, "\n")
	return line, clip(text)
}
