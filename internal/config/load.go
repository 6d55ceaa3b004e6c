package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Source says where a value came from.
type Source string

// The sources, strongest first.
const (
	SourceFlag    Source = "flag"
	SourceEnv     Source = "environment"
	SourceFile    Source = "file"
	SourceDefault Source = "default"
)

// Value is the effective value of one option.
type Value struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source Source `json:"source"`
	Origin string `json:"origin"` // --pool, HEARTH_POOL, /etc/hearth.yml:3, default
}

// Loaded is what Load made of the command line, the environment and the file.
type Loaded struct {
	Config      *Config
	Values      []Value  // one for each option, in the order of Options
	Warnings    []string // worth a line in the log, not worth a stop
	PrintConfig bool     // --print-config
	JSON        bool     // --json, with --print-config
	Help        bool     // --help or -h: nothing else was looked at
}

// Switches are the flags of hearth serve that are no settings.
var switches = []string{"config", "print-config", "json", "help"}

// userVariables belong to the user's commands, which share the environment.
var userVariables = []string{"HEARTH_CONFIG", "HEARTH_URL", "HEARTH_TOKEN_FILE"}

// Load reads the flags of hearth serve, the environment (as os.Environ gives it) and the YAML file
// that --config or HEARTH_CONFIG names. Its error is a Mistakes with everything that is wrong.
func Load(args, environ []string) (*Loaded, error) {
	l := &Loaded{Config: &Config{}}
	flags, mistakes := l.parseFlags(args)
	if l.Help {
		return l, nil
	}
	env := l.parseEnv(environ)

	file := flags["config"]
	if file.origin == "" {
		file = env["config"]
	}
	var fromFile map[string]setting
	if file.origin != "" {
		var m Mistakes
		fromFile, m = parseFile(file)
		mistakes = append(mistakes, m...)
	}

	options := Options()
	for _, o := range options {
		// A value that is hidden by a stronger one is checked too: it is a mistake that waits.
		chosen, source := setting{value: o.Default, origin: string(SourceDefault)}, SourceDefault
		for _, from := range []struct {
			settings map[string]setting
			source   Source
		}{{fromFile, SourceFile}, {env, SourceEnv}, {flags, SourceFlag}} {
			s, ok := from.settings[o.Name]
			if !ok {
				continue
			}
			if err := o.set(&Config{}, s.value); err != nil {
				mistakes = append(mistakes, wrong(s, err))
			}
			chosen, source = s, from.source
		}
		value := chosen.value
		if source == SourceDefault {
			value = strings.ReplaceAll(value, "{data-dir}", l.Config.DataDir)
			if value == "" { // no default: the zero value, except for lists, which JSON should show as []
				if o.Name == "trusted-proxies" || o.Name == "private-registries" {
					_ = o.set(l.Config, "")
				}
				l.Values = append(l.Values, Value{o.Name, "", source, chosen.origin})
				continue
			}
		}
		if err := o.set(l.Config, value); err != nil {
			continue // already among the mistakes; defaults are tested to be right
		}
		l.Values = append(l.Values, Value{o.Name, o.get(l.Config), source, chosen.origin})
	}
	if len(mistakes) == 0 {
		mistakes = l.together()
	}
	if len(mistakes) > 0 {
		return nil, mistakes
	}
	return l, nil
}

// together checks what holds between settings that are right alone.
func (l *Loaded) together() (mistakes Mistakes) {
	c := l.Config
	fail := func(name, problem, hint string) {
		v := l.value(name)
		mistakes = append(mistakes, Mistake{Key: name, Value: v.Value, Origin: v.Origin, Problem: problem, Hint: hint})
	}
	if c.TLSCert != "" && c.TLSKey == "" {
		fail("tls-cert", "has no key", "set tls-key too")
	}
	if c.TLSKey != "" && c.TLSCert == "" {
		fail("tls-key", "has no certificate", "set tls-cert too")
	}
	if c.AdminListen != "" && c.AdminListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		fail("admin-listen", "is the address of listen too", "give it another port, or leave it out")
	}
	if c.RunDir == c.DataDir {
		fail("run-dir", "is the data directory too", "give it a directory of its own below /run")
	}
	if c.H2C && c.TLSCert != "" {
		l.Warnings = append(l.Warnings, "h2c has no effect with TLS, where HTTP/2 is negotiated anyway")
	}
	return mistakes
}

func (l *Loaded) value(name string) Value {
	i := slices.IndexFunc(l.Values, func(v Value) bool { return v.Name == name })
	return l.Values[i]
}

func wrong(s setting, err error) Mistake {
	m := Mistake{Key: s.shown, Value: clip(s.value), Origin: s.origin, Problem: err.Error()}
	if e, ok := err.(*valueError); ok {
		m.Problem, m.Hint = e.problem, e.hint
	}
	if s.value == "" {
		m.Problem = "is empty"
	}
	return m
}

// parseFlags reads --name=value, --name value, and --name alone for booleans; the last of two
// counts, as everywhere.
func (l *Loaded) parseFlags(args []string) (map[string]setting, Mistakes) {
	var mistakes Mistakes
	fail := func(origin, problem, hint string) {
		mistakes = append(mistakes, Mistake{Key: clip(origin), Origin: clip(origin), Problem: problem, Hint: hint})
	}
	known := map[string]bool{"config": false, "print-config": true, "json": true, "help": true} // name → boolean
	var names []string
	for _, o := range Options() {
		known[o.Name] = o.Bool()
		names = append(names, o.Name)
	}
	names = append(names, switches...)

	flags := map[string]setting{}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "-h" {
			l.Help = true
			continue
		}
		name, value, valued := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !strings.HasPrefix(arg, "--") || name == "" {
			fail(arg, "is not a flag", "hearth serve takes flags only, as in --pool 4")
			continue
		}
		isBool, ok := known[name]
		switch {
		case !ok:
			fail("--"+name, "is unknown", suggest(name, names, "--", "hearth serve --help lists all flags"))
			// Its value would be reported as a second mistake.
			if !valued && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				i++
			}
			continue
		case !valued && isBool:
			value = "true"
		case !valued && i+1 == len(args):
			fail("--"+name, "has no value", "write --"+name+"=VALUE")
			continue
		case !valued:
			i++
			value = args[i]
		}
		flags[name] = setting{name: name, value: value, origin: "--" + name, shown: "--" + name}
	}
	for name, to := range map[string]*bool{"print-config": &l.PrintConfig, "json": &l.JSON, "help": &l.Help} {
		s, ok := flags[name]
		if !ok {
			continue
		}
		b, err := strconv.ParseBool(s.value)
		if err != nil {
			fail(s.origin, "takes no value", "write --"+name)
		}
		*to = *to || b
	}
	return flags, mistakes
}

// parseEnv picks the HEARTH_… variables. An unknown one is only a warning, since Kubernetes injects
// HEARTH_SERVICE_HOST and the like into every pod beside a service of that name.
func (l *Loaded) parseEnv(environ []string) map[string]setting {
	names := map[string]string{} // variable → option
	var all []string
	for _, o := range Options() {
		names[o.Env()] = o.Name
		all = append(all, o.Env())
	}
	names["HEARTH_CONFIG"] = "config"
	all = append(all, userVariables...)

	env := map[string]setting{}
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "HEARTH_") {
			continue
		}
		if option, ok := names[name]; ok {
			env[option] = setting{name: option, value: value, origin: name, shown: name}
		} else if !slices.Contains(userVariables, name) {
			w := fmt.Sprintf("variable %s is unknown and ignored", strconv.Quote(clip(name)))
			if near := Nearest(name, all); near != "" {
				w += "; did you mean " + near + "?"
			}
			l.Warnings = append(l.Warnings, w)
		}
	}
	slices.Sort(l.Warnings)
	return env
}

func parseFile(from setting) (map[string]setting, Mistakes) {
	fail := func(problem, hint string) Mistakes {
		return Mistakes{{Key: from.shown, Value: clip(from.value), Origin: from.origin, Problem: problem, Hint: hint}}
	}
	if from.value == "" {
		return nil, fail("is empty", "give the path of a YAML file")
	}
	data, err := readFile(from.value)
	if err != nil {
		if pe, ok := err.(*os.PathError); ok {
			err = pe.Err
		}
		return nil, fail("cannot be read: "+err.Error(), "give the path of a YAML file")
	}
	list, mistakes := parseYAML(filepath.Clean(from.value), data)
	var names []string
	for _, o := range Options() {
		names = append(names, o.Name)
	}
	settings := map[string]setting{}
	for _, s := range list {
		if !slices.Contains(names, s.name) {
			mistakes = append(mistakes, Mistake{Key: clip(s.shown), Origin: s.origin, Problem: "is unknown",
				Hint: suggest(s.name, names, "", "docs/configuration.md lists all keys")})
			continue
		}
		settings[s.name] = s
	}
	return settings, mistakes
}

func suggest(name string, names []string, prefix, otherwise string) string {
	if near := Nearest(name, names); near != "" {
		return "did you mean " + prefix + near + "?"
	}
	return otherwise
}
