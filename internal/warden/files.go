package warden

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"hearth/internal/config"
	"hearth/internal/sandbox"
	"hearth/internal/warden/wire"
)

// files are what the node process gets at its start: the listeners, which outlive it, and the secrets
// that only root may read.
type files struct {
	names []string
	files []*os.File
}

func (f *files) add(name string, file *os.File) {
	f.names = append(f.names, name)
	f.files = append(f.files, file)
}

func (f *files) close() {
	for _, file := range f.files {
		file.Close()
	}
}

func openFiles(ctx context.Context, cfg *config.Config, registry []byte) (_ *files, err error) {
	f := &files{}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	for name, address := range map[string]string{wire.FileListen: cfg.Listen, wire.FileAdmin: cfg.AdminListen} {
		if address == "" {
			continue
		}
		l, err := listen(ctx, address)
		if err != nil {
			return nil, err
		}
		f.add(name, l)
	}
	token, err := openOrMake(cfg.AdminTokenFile, newToken)
	if err != nil {
		return nil, fmt.Errorf("admin token: %w", err)
	}
	f.add(wire.FileToken, token)
	key, err := openOrMake(strings.TrimPrefix(cfg.Keeper, "file:"), newKey)
	if err != nil {
		return nil, fmt.Errorf("keeper: %w", err)
	}
	f.add(wire.FileKeeper, key)
	access, err := memoryFile(wire.FileRegistry, registry)
	if err != nil {
		return nil, err
	}
	f.add(wire.FileRegistry, access)
	if cfg.TLSCert != "" {
		cert, key, err := openTLS(cfg)
		if err != nil {
			return nil, err
		}
		f.add(wire.FileTLSCert, cert)
		f.add(wire.FileTLSKey, key)
	}
	return f, nil
}

// listen opens a listener that lives as long as the warden: while a node process is started again,
// connections wait in its backlog.
func listen(ctx context.Context, address string) (*os.File, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	defer l.Close() // File is a copy
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return file, nil
}

// secretBytes is the size of a token and of a key: 256 bits.
const secretBytes = 32

func newSecret() []byte {
	b := make([]byte, secretBytes)
	rand.Read(b) // never fails; the runtime ends the program instead
	return b
}

func newToken() string { return "hearth_" + base64.RawURLEncoding.EncodeToString(newSecret()) }
func newKey() string   { return base64.URLEncoding.EncodeToString(newSecret()) }

// openOrMake opens a secret's file, and makes it at the first start, whole and on disk before it has
// its name.
func openOrMake(name string, secret func() string) (*os.File, error) {
	f, err := openSecret(name)
	if !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	folder, err := os.Open(path.Dir(name)) // wherever the operator has put it
	if err != nil {
		return nil, fmt.Errorf("make secret: %w", err)
	}
	defer folder.Close()
	base := path.Base(name)
	n, err := sandbox.OpenBeneath(folder, base+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make secret: %w", err)
	}
	_, err = n.WriteString(secret() + "\n")
	if err = errors.Join(err, n.Sync(), n.Close()); err == nil {
		err = unix.Renameat(int(folder.Fd()), base+".new", int(folder.Fd()), base)
	}
	if err == nil {
		err = folder.Sync()
	}
	if err != nil {
		return nil, fmt.Errorf("make secret: %w", err)
	}
	return openSecret(name)
}

// openSecret opens a regular file that nobody but its owner may write.
func openSecret(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err == nil && st.Mode().Perm()&0o022 != 0 {
		err = fmt.Errorf("%s may be written by others than its owner; mend it with: chmod 600 %s", name, name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// memoryFile holds a secret that is in no file, and no longer than we live.
func memoryFile(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("hearth-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(content); err != nil {
		f.Close()
		return nil, fmt.Errorf("write memory file: %w", err)
	}
	return f, nil
}

func openTLS(cfg *config.Config) (cert, key *os.File, err error) {
	if cert, err = openSecret(cfg.TLSCert); err != nil {
		return nil, nil, fmt.Errorf("certificate: %w", err)
	}
	if key, err = openSecret(cfg.TLSKey); err != nil {
		cert.Close()
		return nil, nil, fmt.Errorf("key of certificate: %w", err)
	}
	return cert, key, nil
}
