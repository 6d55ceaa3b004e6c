package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"net/netip"
)

var update = flag.Bool("update", false, "write generated files anew")

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "hearth.yml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	l, err := Load(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Listen: "127.0.0.1:8080", TrustedProxies: []netip.Prefix{}, PrivateRegistries: []netip.Prefix{}, ExposeStart: true,
		DataDir: "/var/lib/hearth", RunDir: "/run/hearth",
		Database: "sqlite:/var/lib/hearth/node/hearth.db", Blobs: "file:/var/lib/hearth/node/blobs",
		Keeper: "file:/var/lib/hearth/keeper.key", AdminTokenFile: "/var/lib/hearth/admin.token",
		User: "hearth", Isolation: "runc", Pool: 4, LockTTL: time.Hour, Builders: 2, PackageDisk: 20 << 30, PreloadMemory: 1 << 30, Idle: 10 * time.Minute, LogLevel: "info", LogFormat: "text",
	}
	if d := cmp.Diff(want, l.Config, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
		t.Errorf("Load() without anything (-want +got):\n%s", d)
	}
}

// Every option is tried alone from every source with its example, so a new one cannot be forgotten.
func TestEveryOptionFromEverySource(t *testing.T) {
	t.Parallel()
	for _, o := range Options() {
		value := o.Example
		if o.Bool() {
			value = map[string]string{"true": "false", "false": "true"}[o.Default]
		}
		extra := map[string]string{"tls-cert": "tls-key", "tls-key": "tls-cert"}
		yaml := o.Name + ": " + value + "\n"
		args := []string{"--" + o.Name + "=" + value}
		env := []string{o.Env() + "=" + value}
		if other := extra[o.Name]; other != "" {
			yaml += other + ": /x\n"
			args = append(args, "--"+other, "/x")
			env = append(env, envName(other)+"=/x")
		}
		name := file(t, yaml)
		for source, got := range map[Source]func() (*Loaded, error){
			SourceFlag: func() (*Loaded, error) { return Load(args, nil) },
			SourceEnv:  func() (*Loaded, error) { return Load(nil, env) },
			SourceFile: func() (*Loaded, error) { return Load([]string{"--config", name}, nil) },
		} {
			l, err := got()
			if err != nil {
				t.Errorf("%s from %s: %v", o.Name, source, err)
				continue
			}
			want := mustDefault(t)
			if err := o.set(want, value); err != nil {
				t.Fatalf("%s: its own example: %v", o.Name, err)
			}
			if v := l.value(o.Name); v.Value != o.get(want) || v.Source != source {
				t.Errorf("%s from %s: got %+v, want value %q", o.Name, source, v, o.get(want))
			}
			if o.get(l.Config) == o.get(mustDefault(t)) {
				t.Errorf("%s from %s: the config still has the default", o.Name, source)
			}
		}
	}
}

func mustDefault(t *testing.T) *Config {
	t.Helper()
	l, err := Load(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l.Config
}

// Each field of Config is written by exactly one option.
func TestOptionsCoverConfig(t *testing.T) {
	t.Parallel()
	fields := map[string]string{}
	for _, o := range Options() {
		var before, after Config
		value := o.Example
		if o.Bool() {
			value = "true"
		}
		if err := o.set(&after, value); err != nil {
			t.Fatalf("%s: its own example: %v", o.Name, err)
		}
		b, a := reflect.ValueOf(before), reflect.ValueOf(after)
		for i := range b.NumField() {
			if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
				name := b.Type().Field(i).Name
				if fields[name] != "" {
					t.Errorf("field %s is written by %s and %s", name, fields[name], o.Name)
				}
				fields[name] = o.Name
			}
		}
	}
	if want := reflect.TypeFor[Config]().NumField(); len(fields) != want || len(Options()) != want {
		t.Errorf("%d options write %d of %d fields: %v", len(Options()), len(fields), want, slices.Sorted(maps.Keys(fields)))
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	name := file(t, "pool: 1\nidle: 1m\nlog_level: warn\n")
	env := []string{"HEARTH_CONFIG=" + name, "HEARTH_POOL=2", "HEARTH_IDLE=2m", "PATH=/bin", "HEARTH_URL=http://x"}
	l, err := Load([]string{"--pool", "3", "--pool=5"}, env)
	if err != nil {
		t.Fatal(err)
	}
	if l.Config.Pool != 5 || l.Config.Idle != 2*time.Minute || l.Config.LogLevel != "warn" || l.Config.LogFormat != "text" {
		t.Errorf("flag, variable, file, default: got %d, %v, %s, %s", l.Config.Pool, l.Config.Idle, l.Config.LogLevel, l.Config.LogFormat)
	}
	for name, want := range map[string]string{"pool": "--pool", "idle": "HEARTH_IDLE", "log-level": name + ":3", "log-format": "default"} {
		if got := l.value(name).Origin; got != want {
			t.Errorf("origin of %s: got %s, want %s", name, got, want)
		}
	}
	if len(l.Warnings) > 0 {
		t.Errorf("warnings: %q", l.Warnings)
	}
	other := file(t, "pool: 9")
	if l, err = Load([]string{"--config", other}, env[:1]); err != nil || l.Config.Pool != 9 {
		t.Errorf("--config beside HEARTH_CONFIG: got %+v, %v; want the flag's file", l, err)
	}
}

func TestUnknownNames(t *testing.T) {
	t.Parallel()
	l, err := Load(nil, []string{"HEARTH_LISTNE=:1", "HEARTH_SERVICE_HOST=10.0.0.1", "HEARTHY=1"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`variable "HEARTH_LISTNE" is unknown and ignored; did you mean HEARTH_LISTEN?`,
		`variable "HEARTH_SERVICE_HOST" is unknown and ignored`,
	}
	if d := cmp.Diff(want, l.Warnings); d != "" {
		t.Errorf("warnings (-want +got):\n%s", d)
	}
	for _, c := range []struct{ arg, want string }{
		{"--listne=:1", "--listne is unknown (hint: did you mean --listen?)"},
		{"--etcd=x", "--etcd is unknown (hint: hearth serve --help lists all flags)"},
		{"-p", "-p is not a flag (hint: hearth serve takes flags only, as in --pool 4)"},
		{"extra", "extra is not a flag (hint: hearth serve takes flags only, as in --pool 4)"},
		{"--", "-- is not a flag (hint: hearth serve takes flags only, as in --pool 4)"},
		{"--pool", "--pool has no value (hint: write --pool=VALUE)"},
		{"--json=x", "--json takes no value (hint: write --json)"},
	} {
		if _, err := Load([]string{c.arg}, nil); err == nil || err.Error() != c.want {
			t.Errorf("Load(%s): got %v, want %s", c.arg, err, c.want)
		}
	}
}

// The exact words for every kind of wrong value.
func TestWrongValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ flag, want string }{
		{"--pool=", `--pool is empty (hint: give a whole number from 0 to 1000)`},
		{"--pool=many", `--pool "many" is not a whole number (hint: give a whole number from 0 to 1000)`},
		{"--pool=-1", `--pool "-1" is out of range (hint: give a whole number from 0 to 1000)`},
		{"--pool=1e3", `--pool "1e3" is not a whole number (hint: give a whole number from 0 to 1000)`},
		{"--idle=0", `--idle "0" is out of range (hint: give a duration from 1s to 168h, as in 90s or 10m)`},
		{"--idle=10", `--idle "10" is not a duration (hint: give a duration from 1s to 168h, as in 90s or 10m)`},
		{"--h2c=yes", `--h2c "yes" is neither true nor false (hint: write true or false)`},
		{"--listen=8080", `--listen "8080" is not an address (hint: give HOST:PORT, as in 127.0.0.1:8080, or :8080 for all addresses)`},
		{"--listen=x:80808", `--listen "x:80808" has no port from 0 to 65535 (hint: give HOST:PORT, as in 127.0.0.1:8080, or :8080 for all addresses)`},
		{"--listen=a b:80", `--listen "a b:80" has a host that is neither an IP address nor a name (hint: give HOST:PORT, as in 127.0.0.1:8080, or :8080 for all addresses)`},
		{"--run-domain=https://x", `--run-domain "https://x" is not a domain (hint: give a domain without scheme and port, as in functions.example.com)`},
		{"--trusted-proxies=10.0.0.1/8", `--trusted-proxies "10.0.0.1/8" has bits set beyond a prefix (hint: write 10.0.0.0/8)`},
		{"--trusted-proxies=proxy", `--trusted-proxies "proxy" is not a list of networks (hint: separate networks with commas, as in 10.0.0.0/8,192.0.2.7)`},
		{"--database=postgres://x/y", `--database "postgres://x/y" needs postgres, which this version of hearth cannot use yet (hint: give sqlite:PATH)`},
		{"--database=sqlite:", `--database "sqlite:" names no path (hint: give sqlite:PATH)`},
		{"--blobs=s3://bucket", `--blobs "s3://bucket" needs s3, which this version of hearth cannot use yet (hint: give file:PATH)`},
		{"--keeper=/etc/key", `--keeper "/etc/key" is not of the form file:PATH (hint: give file:PATH)`},
		{"--isolation=gvisor", `--isolation "gvisor" needs gVisor, which this version of hearth cannot use yet (hint: write runc or crun)`},
		{"--isolation=docker", `--isolation "docker" is unknown (hint: write runc or crun)`},
		{"--user=root", `--user "root" would give every room the rights of root (hint: give an account without rights, or leave the flag out)`},
		{"--npm-registry=https://u:p@r/", `--npm-registry "https://u:p@r/" holds a password, which everybody on this machine could read (hint: put the credentials into the npmrc file)`},
		{"--npm-registry=registry", `--npm-registry "registry" is not the URL of a registry (hint: give an http or https URL, as in https://npm.example.com/)`},
		{"--log-level=trace", `--log-level "trace" is unknown (hint: write debug, info, warn or error)`},
		{"--data-dir=", `--data-dir is empty (hint: give a path)`},
		{"--tls-cert=/x", `--tls-cert "/x" has no key (hint: set tls-key too)`},
		{"--admin-listen=127.0.0.1:8080", `--admin-listen "127.0.0.1:8080" is the address of listen too (hint: give it another port, or leave it out)`},
		{"--config=/does/not/exist", `--config "/does/not/exist" cannot be read: no such file or directory (hint: give the path of a YAML file)`},
	} {
		if _, err := Load([]string{c.flag}, nil); err == nil || err.Error() != c.want {
			t.Errorf("Load(%s):\n got %v\nwant %s", c.flag, err, c.want)
		}
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	name := file(t, "poool: 3\nidle: never\nlisten: [a, b]\npool: 1\npool_: 2\n")
	_, err := Load([]string{"--pool", "x", "--nonsense", "--config", name}, []string{"HEARTH_H2C=1", "HEARTH_USER="})
	want := strings.ReplaceAll(`8 settings are wrong:
  --nonsense is unknown (hint: hearth serve --help lists all flags)
  FILE:1: poool is unknown (hint: did you mean pool?)
  FILE:5: pool_ is unknown (hint: did you mean pool?)
  FILE:3: listen "a,b" is not an address (hint: give HOST:PORT, as in 127.0.0.1:8080, or :8080 for all addresses)
  HEARTH_H2C "1" is neither true nor false (hint: write true or false)
  HEARTH_USER is empty (hint: give a name as in /etc/passwd)
  --pool "x" is not a whole number (hint: give a whole number from 0 to 1000)
  FILE:2: idle "never" is not a duration (hint: give a duration from 1s to 168h, as in 90s or 10m)`, "FILE", name)
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestYAML(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"comment only", "# nothing\n", ""},
		{"null document", "---\n", ""},
		{"list", "trusted-proxies:\n- 10.0.0.0/8\n- 192.0.2.7\n", ""},
		{"quoted", "listen: \"127.0.0.1:0\"\n", ""},
		{"underscore", "data_dir: /x\n", ""},
		{"json", `{"pool": 3}`, ""},
		{"octal is not read as eight", "pool: 0x10\n", `FILE:1: pool "0x10" is not a whole number (hint: give a whole number from 0 to 1000)`},
		{"twice", "pool: 1\npool: 2\n", `FILE:2: the file is not YAML: mapping key "pool" already defined at [1:1] (hint: write one key: value a line)`},
		{"twice in two spellings", "data-dir: /a\ndata_dir: /b\n", `FILE:2: data_dir is set twice, in line 1 too (hint: keep one of them)`},
		{"null", "pool:\n", "FILE:1: pool has no value, or one that is not text, a number, a boolean or a list of them (hint: write pool: value, or remove the line)"},
		{"nested", "pool: {a: 1}\n", "FILE:1: pool has no value, or one that is not text, a number, a boolean or a list of them (hint: write pool: value, or remove the line)"},
		{"anchor", "pool: &a 1\n", "FILE:1: pool has no value, or one that is not text, a number, a boolean or a list of them (hint: write pool: value, or remove the line)"},
		{"tag", "pool: !!str 1\n", "FILE:1: pool has no value, or one that is not text, a number, a boolean or a list of them (hint: write pool: value, or remove the line)"},
		{"scalar", "pool\n", "FILE:1: the file is not a mapping (hint: write one key: value a line)"},
		{"two documents", "pool: 1\n---\npool: 2\n", "FILE:3: the file has more than one document (hint: keep one, without ---)"},
		{"deep", strings.Repeat("[", 5000), "FILE:1: the file has more than 256 brackets (hint: write one key: value a line)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			name := file(t, c.text)
			_, err := Load([]string{"--config", name}, nil)
			got := ""
			if err != nil {
				got = strings.ReplaceAll(err.Error(), name, "FILE")
			}
			if got != c.want {
				t.Errorf("%s:\n got %s\nwant %s", c.text[:min(len(c.text), 50)], got, c.want)
			}
		})
	}
	big := file(t, strings.Repeat("#", maxFile+1))
	if _, err := Load([]string{"--config", big}, nil); err == nil || !strings.Contains(err.Error(), "longer than 256 KiB") {
		t.Errorf("a file over its limit: got %v", err)
	}
}

func TestConfigAsJSON(t *testing.T) {
	t.Parallel()
	l, err := Load([]string{"--trusted-proxies", "10.0.0.0/8,::1", "--idle", "90s"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(l.Config)
	if err != nil {
		t.Fatal(err)
	}
	var got Config
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(*l.Config, got, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
		t.Errorf("after JSON and back (-want +got):\n%s", d)
	}
}

func TestPrintConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		golden string
		args   []string
	}{
		{"print.txt", []string{"--print-config", "--pool", "9", "--data-dir", "/srv/h"}},
		{"print.json", []string{"--print-config", "--json", "--trusted-proxies", "10.0.0.0/8,::1"}},
	} {
		l, err := Load(c.args, []string{"HEARTH_IDLE=1h"})
		if err != nil {
			t.Fatal(err)
		}
		if !l.PrintConfig {
			t.Error("PrintConfig is false")
		}
		var b bytes.Buffer
		if err := l.Print(&b); err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("testdata", c.golden), b.String())
	}
}

func TestDocs(t *testing.T) {
	t.Parallel()
	golden(t, "../../docs/configuration.md", Markdown())
	golden(t, "../../docs/limits.md", LimitsMarkdown())
}

// The example file is right when its comments are taken away.
func TestExampleLoads(t *testing.T) {
	t.Parallel()
	var lines []string
	for line := range strings.Lines(Example()) {
		if key, _, ok := strings.Cut(strings.TrimPrefix(line, "# "), ": "); ok && !strings.Contains(key, " ") {
			lines = append(lines, strings.TrimPrefix(line, "# "))
		}
	}
	if len(lines) != len(Options()) {
		t.Fatalf("%d lines for %d options", len(lines), len(Options()))
	}
	if _, err := Load([]string{"--config", file(t, strings.Join(lines, ""))}, nil); err != nil {
		t.Error(err)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s is not current (-file +code); run: go test ./internal/config -update\n%s", name, d)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"deploy", "ls", "logs", "rm", "run", "rollback"}
	for word, want := range map[string]string{"dploy": "deploy", "lgos": "logs", "rn": "rm", "rollbcak": "rollback", "x": "", "": "", "banana": ""} {
		if got := Nearest(word, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "abc", 3}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"same", "same", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func FuzzYAML(f *testing.F) {
	for _, s := range []string{"pool: 1\n", "a: [1, b]\n", "? x\n: y\n", "<<: *a\n", "\t", "- a\n", "a: |\n  b\n", "\xff", "{a: {b: }}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4<<10 {
			return
		}
		list, mistakes := parseYAML("f.yml", data)
		for _, m := range mistakes {
			if m.Problem == "" || m.Hint == "" || !strings.HasPrefix(m.Origin, "f.yml:") {
				t.Errorf("mistake without problem, hint or line: %+v", m)
			}
		}
		seen := map[string]bool{}
		for _, s := range list {
			if seen[s.name] {
				t.Errorf("%q is there twice", s.name)
			}
			seen[s.name] = true
		}
	})
}

func FuzzFlags(f *testing.F) {
	for _, s := range []string{"--pool\n3", "--pool=", "--h2c\n--idle\n1m", "-h", "--", "=", "--=x", "--trusted-proxies=::1/128,1.2.3.4", "--database=sqlite:///x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for a := range strings.SplitSeq(s, "\n") {
			if strings.HasPrefix(a, "--config") {
				return // would open files
			}
		}
		l, err := Load(strings.Split(s, "\n"), nil)
		if err != nil || l.Help {
			return
		}
		// What was accepted is accepted again as it is printed, with the same meaning.
		var again []string
		for _, v := range l.Values {
			if v.Value != "" {
				again = append(again, "--"+v.Name+"="+v.Value)
			}
		}
		l2, err := Load(again, nil)
		if err != nil {
			t.Fatalf("%q was accepted, and as printed is not: %v", s, err)
		}
		if d := cmp.Diff(l.Config, l2.Config, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
			t.Errorf("%q printed and read again differs:\n%s", s, d)
		}
	})
}
