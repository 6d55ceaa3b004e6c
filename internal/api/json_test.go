package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"hearth"
)

func TestParseJSONRefusesWhatTwoReadersReadDifferently(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		doc   string
		code  hearth.Code
		field string
	}{
		"empty":                 {"", hearth.CodeMalformed, "body"},
		"white space":           {" \n", hearth.CodeMalformed, "body"},
		"cut":                   {`{"a":1`, hearth.CodeMalformed, "body"},
		"garbage behind":        {`{} {}`, hearth.CodeMalformed, "body"},
		"byte order mark":       {"\ufeff{}", hearth.CodeMalformed, "body"},
		"comment":               {`{/**/}`, hearth.CodeMalformed, "body"},
		"comma at the end":      {`{"a":1,}`, hearth.CodeMalformed, "body"},
		"single quotes":         {`{'a':1}`, hearth.CodeMalformed, "body"},
		"NaN":                   {`{"a":NaN}`, hearth.CodeMalformed, "body"},
		"leading zero":          {`{"a":01}`, hearth.CodeMalformed, "body"},
		"line break in string":  {"{\"a\":\"\n\"}", hearth.CodeMalformed, "body"},
		"not UTF-8":             {"{\"a\":\"\xff\"}", hearth.CodeMalformed, "body"},
		"overlong UTF-8":        {"{\"a\":\"\xc0\xaf\"}", hearth.CodeMalformed, "body"},
		"high surrogate alone":  {`{"a":"\ud800"}`, hearth.CodeMalformed, "body"},
		"low surrogate alone":   {`{"a":"\udc00"}`, hearth.CodeMalformed, "body"},
		"surrogates swapped":    {`{"a":"\udc00\ud800"}`, hearth.CodeMalformed, "body"},
		"surrogate at the end":  {`"\ud800\u00`, hearth.CodeMalformed, "body"},
		"equal keys":            {`{"a":1,"a":1}`, hearth.CodeInvalid, "a"},
		"equal keys, escaped":   {`{"a":1,"\u0061":1}`, hearth.CodeInvalid, "a"},
		"equal keys, deep":      {`{"a":[{"b c":1,"b c":2}]}`, hearth.CodeInvalid, `a[0]["b c"]`},
		"equal keys, empty":     {`{"":1,"":2}`, hearth.CodeInvalid, `[""]`},
		"too deep":              {strings.Repeat("[", 33) + strings.Repeat("]", 33), hearth.CodeInvalid, "body"},
		"far too deep":          {strings.Repeat("[", 1<<20), hearth.CodeInvalid, "body"},
		"too many values":       {"[" + strings.Repeat("0,", 100_000) + "0]", hearth.CodeInvalid, "body"},
		"too many empty arrays": {"[" + strings.Repeat("[],", 60_000) + "[]]", hearth.CodeInvalid, "body"},
	} {
		_, err := parseJSON([]byte(c.doc))
		if err == nil || err.Code != c.code || len(err.Fields) != 1 || err.Fields[0].Field != c.field {
			t.Errorf("%s: %#v, want %s of %s", name, err, c.code, c.field)
		}
	}
}

func TestParseJSONAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		`null`, `true`, `-1.5e+10`, `""`, `{}`, `[]`, ` { "a" : [ 1 , "x" , { } ] , "b" : null } `, `"\ud83d\ude00 \u0000 \" \\ \/ é"`,
		strings.Repeat("[", 32) + strings.Repeat("]", 32), `{"__proto__":{"constructor":1}}`, `{"a":{"a":1},"b":{"a":2}}`,
	} {
		sameAsEncodingJSON(t, []byte(doc))
	}
}

// sameAsEncodingJSON fails if parseJSON takes doc and sees another document in it than encoding/json.
func sameAsEncodingJSON(t *testing.T, doc []byte) {
	t.Helper()
	v, err := parseJSON(doc)
	if err != nil {
		return
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var want any
	if err := dec.Decode(&want); err != nil {
		t.Fatalf("taken, but encoding/json says %v: %q", err, doc)
	}
	if got := plain(v); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q is %#v, want %#v", doc, got, want)
	}
	if got := strings.TrimSpace(string(v.raw)); got != strings.Trim(string(doc), " \t\r\n") {
		t.Fatalf("raw of %q is %q", doc, got)
	}
}

func plain(v *value) any {
	switch v.kind {
	case kindObject:
		m := map[string]any{}
		for _, key := range v.keys {
			m[key] = plain(v.members[key])
		}
		return m
	case kindArray:
		a := []any{}
		for _, item := range v.items {
			a = append(a, plain(item))
		}
		return a
	case kindText:
		return v.text
	case kindNumber:
		return json.Number(v.text)
	case kindBool:
		return v.text == "true"
	}
	return nil
}

func FuzzParseJSON(f *testing.F) {
	for _, doc := range []string{`{"a":[1,"x",{"b":null}]}`, `{"a":1,"a":2}`, `"\ud83d\ude00"`, `"\ud800"`, `[[[[`, `{"a":tru`, `-`, `"\`, `"\u12`} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) { sameAsEncodingJSON(t, doc) })
}
