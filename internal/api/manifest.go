package api

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"hearth"
)

// put is what the body of PUT …/functions/{f} says, checked.
type put struct {
	manifest hearth.Manifest
	files    []hearth.File
	secrets  map[string]*string // nil removes
}

// functionFields are the fields of that body.
var functionFields = []string{"code", "files", "dependencies", "secrets", "config", "runtime", "entry", "model", "timeout_ms", "auth"}

// decodeFunction reads the body of PUT …/functions/{f}. It judges all that can be judged without
// running or resolving anything, and reports every mistake at once.
func decodeFunction(doc *value) (put, error) {
	var f fields
	var p put
	if !f.object(doc, "", functionFields...) {
		return p, f.err()
	}
	p.manifest = hearth.Manifest{
		Runtime:   f.choice(doc.member("runtime"), "runtime", hearth.Runtimes...),
		Model:     f.model(doc.member("model")),
		TimeoutMS: f.timeout(doc.member("timeout_ms")),
		Auth:      f.choice(doc.member("auth"), "auth", "none"),
		Config:    f.config(doc.member("config")),
	}
	p.secrets = f.secrets(doc.member("secrets"))
	var pkg manifestFile
	p.files, p.manifest.Entry, pkg = f.code(doc)
	var lock []byte
	if i := slices.IndexFunc(p.files, func(file hearth.File) bool { return file.Path == "package-lock.json" }); i >= 0 {
		lock = p.files[i].Data
	}
	f.dependencies(&p.manifest, doc.member("dependencies"), pkg.doc, lock)
	return p, f.err()
}

// code reads code or files, which of them is the entry, and the package.json among them.
func (f *fields) code(doc *value) (files []hearth.File, entry string, pkg manifestFile) {
	code, many := doc.member("code"), doc.member("files")
	if v := doc.member("entry"); v != nil {
		entry = strings.TrimPrefix(f.text(v, "entry", ""), "./")
		if err := hearth.CheckFilePath(entry); v.kind == kindText && err != nil {
			f.bad("entry", "cannot be a file: %s", err.Message)
			return nil, "", pkg
		}
	}
	switch {
	case code == nil && many == nil:
		f.bad("code", "is missing: a function needs code or files")
	case code != nil && many != nil:
		f.bad("code", "and files exclude each other")
	case code != nil:
		data := f.text(code, "code", "")
		f.checkSize("code", int64(len(data)))
		if entry == "" {
			entry = indexes[0]
		}
		return []hearth.File{{Path: entry, Data: []byte(data)}}, f.checkEntry(entry), pkg
	default:
		// The entry is looked for among files that are well named only, so that one mistake is one error.
		before := len(f.errs)
		files = f.files(many, "files")
		pkg = f.packageJSON(files, "files")
		if len(f.errs) == before {
			entry = f.resolveEntry(entry, pkg, files)
		}
	}
	return files, entry, pkg
}

func (f *fields) model(v *value) hearth.Model {
	if v == nil {
		return hearth.ModelAuto
	}
	return hearth.Model(f.choice(v, "model", string(hearth.ModelCallback), string(hearth.ModelPromise),
		string(hearth.ModelFetch), string(hearth.ModelServer)))
}

func (f *fields) timeout(v *value) int {
	if v == nil {
		return hearth.DefaultTimeoutMS
	}
	return f.whole(v, "timeout_ms", hearth.LimitLeastOne, hearth.LimitTimeout)
}

// config reads a JSON object and keeps it as written, less the white space: an order of keys or the
// digits of a number may mean something to the function.
func (f *fields) config(v *value) json.RawMessage {
	if v == nil {
		return json.RawMessage("{}")
	}
	if v.kind != kindObject {
		f.wrong(v, "config", kindObject)
		return nil
	}
	var b bytes.Buffer
	_ = json.Compact(&b, v.raw) // the whole document is valid
	if int64(b.Len()) > hearth.LimitConfigBytes.Value {
		f.over("config", hearth.LimitConfigBytes)
		return nil
	}
	return b.Bytes()
}

func (f *fields) secrets(v *value) map[string]*string {
	if v == nil {
		return nil
	}
	if v.kind != kindObject {
		f.wrong(v, "secrets", kindObject)
		return nil
	}
	secrets := make(map[string]*string, min(len(v.keys), hearth.LimitSecrets.Int()))
	set := int64(0)
	for _, name := range v.keys {
		at, m := join("secrets", name), v.members[name]
		if !hearth.ValidSecretName(name) {
			f.bad(at, secretNames)
			continue
		}
		secrets[name] = nil
		if m.kind != kindNull {
			secrets[name] = f.secret(m, at)
			set++
		}
	}
	if set > hearth.LimitSecrets.Value {
		f.over("secrets", hearth.LimitSecrets)
		return nil
	}
	return secrets
}

const secretNames = "is not a name for a secret: a letter or _ first, then letters, digits and _, 128 at most"

// secret reads the value of a secret; no error ever repeats it.
func (f *fields) secret(v *value, at string) *string {
	if v.kind != kindText {
		f.wrong(v, at, kindText)
	} else if int64(len(v.text)) > hearth.LimitSecretBytes.Value {
		f.over(at, hearth.LimitSecretBytes)
	}
	return &v.text
}
