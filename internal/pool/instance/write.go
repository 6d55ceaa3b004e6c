package instance

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"strconv"

	"hearth"
)

// Meta is what the shim reads beside a version's files. It holds secrets.
type Meta struct {
	Tenant    string            `json:"tenant"`
	Container string            `json:"container"`
	Function  string            `json:"function"`
	Version   int               `json:"version"`
	Runtime   string            `json:"runtime"`
	Entry     string            `json:"entry"`
	Model     hearth.Model      `json:"model"`
	TimeoutMS int               `json:"timeout_ms"`
	Config    json.RawMessage   `json:"config"`
	Secrets   map[string]string `json:"secrets"`
	Modules   string            `json:"modules,omitempty"`  // where the instance sees the version's packages
	Stripped  bool              `json:"stripped,omitempty"` // the TypeScript has no types any more
}

// LogValue keeps the secrets out of logs.
func (m Meta) LogValue() slog.Value { return slog.StringValue("[redacted]") }

type versionKey struct {
	function string
	version  int
}

// Write puts a version's files and its manifest below /fn, once: a second call for the same version
// changes nothing, since a running instance never sees a version change. The manifest comes last.
// A version with packages has no node_modules folder among its files.
func (i *Instance) Write(function string, version int, meta Meta, files []hearth.File) error {
	i.writing.Lock()
	defer i.writing.Unlock()
	key := versionKey{function, version}
	if i.written[key] {
		return nil
	}
	if err := i.write(function, version, meta, files); err != nil {
		return fmt.Errorf("write %s/%d into instance %s: %w", function, version, i.id, err)
	}
	i.written[key] = true
	return nil
}

func (i *Instance) write(function string, version int, meta Meta, files []hearth.File) error {
	if i.State() != Assigned {
		return fmt.Errorf("it is %s: %w", i.State(), ErrState)
	}
	root, err := i.openCode()
	if err != nil {
		return err
	}
	defer root.Close()
	if meta.Config == nil {
		meta.Config = json.RawMessage("{}")
	}
	if meta.Secrets == nil {
		meta.Secrets = map[string]string{}
	}
	manifest, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	folder := function + "/" + strconv.Itoa(version)
	made := map[string]bool{".": true}
	if err := makeDir(root, folder, made); err != nil {
		return err
	}
	for _, f := range files {
		name := folder + "/" + f.Path
		if err := makeDir(root, path.Dir(name), made); err != nil {
			return err
		}
		if err := writeFile(root, name, f.Data); err != nil {
			return err
		}
	}
	if meta.Modules != "" {
		if err := root.Symlink(meta.Modules, folder+"/node_modules"); err != nil {
			return err
		}
	}
	// By a rename, so that a manifest that is there is whole, whenever the process was killed.
	if err := writeFile(root, folder+".json.new", manifest); err != nil {
		return err
	}
	return root.Rename(folder+".json.new", folder+".json")
}

// Has reports whether a version was written to its end, by this process or an earlier one.
func (i *Instance) Has(function string, version int) bool {
	root, err := i.openCode()
	if err != nil {
		return false
	}
	defer root.Close()
	st, err := root.Lstat(function + "/" + strconv.Itoa(version) + ".json")
	return err == nil && st.Mode().IsRegular()
}

// openCode opens the folder behind /fn while the descriptor is held, as dial does.
func (i *Instance) openCode() (*os.Root, error) {
	rc, err := i.code.SyscallConn()
	if err != nil {
		return nil, err
	}
	var root *os.Root
	held := rc.Control(func(fd uintptr) {
		root, err = os.OpenRoot("/proc/self/fd/" + strconv.FormatUint(uint64(fd), 10))
	})
	if held != nil {
		return nil, held
	}
	return root, err
}

// makeDir makes a folder and those above it. made remembers what is there, since 5,000 files share
// few folders.
func makeDir(root *os.Root, name string, made map[string]bool) error {
	if made[name] {
		return nil
	}
	if err := makeDir(root, path.Dir(name), made); err != nil {
		return err
	}
	err := root.Mkdir(name, 0o755)
	switch {
	case err == nil:
		if err := root.Chmod(name, 0o755); err != nil { // whatever the umask took
			return err
		}
	case !os.IsExist(err):
		return err
	}
	made[name] = true
	return nil
}

// writeFile makes a file that must not be there yet, readable by the instance's user, who is a
// stranger on the host.
func writeFile(root *os.Root, name string, data []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(fs.FileMode(0o444))
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
