package host

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"hearth/internal/module/unpack"
)

// fileKey names a file of the store: its content, whether it may be executed, since an inode has one
// mode, and who may share it.
type fileKey struct {
	sum   [sha256.Size]byte
	exec  bool
	owner owner
}

// owner keeps the files of a tenant's private packages apart from all others: an inode's number and its
// count of links would tell whoever has an equal file that somebody else has it too. Zero: anybody's.
type owner [8]byte

func ownerOf(tenant string) (o owner) {
	if tenant != "" {
		sum := sha256.Sum256([]byte("hearth owner 1\n" + tenant))
		copy(o[:], sum[:])
		o[0] |= 1 // never zero
	}
	return o
}

// path is where the file lies below files.
func (k fileKey) path() string {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, 3+2*len(k.sum)+1)
	b = append(b, digits[k.sum[0]>>4], digits[k.sum[0]&15], '/')
	for _, c := range k.sum {
		b = append(b, digits[c>>4], digits[c&15])
	}
	if k.exec {
		b = append(b, 'x')
	}
	if k.owner != (owner{}) {
		b = append(b, '-')
		b = hex.AppendEncode(b, k.owner[:])
	}
	return string(b)
}

// item is an entry of a content as it lies on the disk.
type item struct {
	path   string
	kind   unpack.Kind
	size   int64
	key    fileKey // of a file
	target string  // of a symlink
}

// list is the record of a content: what it is made of.
type list struct {
	digest string // of its archive
	born   string // see sync.go
	owner  owner  // of its files
	items  []item
}

// The second form has the owner, which the first is without.
const (
	listMagic  = "hearth-content-1\n"
	ownedMagic = "hearth-content-2\n"
)

var errRecord = errors.New("the record is damaged")

// encode writes a list. The binary form is for the start, when all of them are read: ten thousand packages
// are 200,000 files.
func (l *list) encode() []byte {
	b := make([]byte, 0, 128+100*len(l.items))
	if l.owner == (owner{}) {
		b = append(b, listMagic...)
	} else {
		b = append(append(b, ownedMagic...), l.owner[:]...)
	}
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	text(l.digest)
	text(l.born)
	b = binary.AppendUvarint(b, uint64(len(l.items)))
	for i := range l.items {
		it := &l.items[i]
		kind := byte(it.kind)
		if it.key.exec {
			kind = 'x'
		}
		b = append(b, kind)
		text(it.path)
		switch it.kind {
		case unpack.File:
			b = binary.AppendUvarint(b, uint64(it.size))
			b = append(b, it.key.sum[:]...)
		case unpack.Link:
			text(it.target)
		}
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// decodeList reads what encode wrote; the sum at its end tells anything else.
func decodeList(raw []byte) (*list, error) {
	n := len(raw) - sha256.Size
	var whose owner
	begin := len(listMagic)
	switch {
	case n >= begin && bytes.HasPrefix(raw, []byte(listMagic)):
	case n >= begin+len(whose) && bytes.HasPrefix(raw, []byte(ownedMagic)):
		begin += copy(whose[:], raw[begin:])
	default:
		return nil, errRecord
	}
	if sum := sha256.Sum256(raw[:n]); !bytes.Equal(sum[:], raw[n:]) {
		return nil, errRecord
	}
	b, bad := raw[begin:n], false
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			bad = true
			return 0
		}
		b = b[n:]
		return v
	}
	take := func(n uint64) []byte {
		if n > uint64(len(b)) {
			bad = true
			return nil
		}
		part := b[:n]
		b = b[n:]
		return part
	}
	l := &list{owner: whose, digest: string(take(number()))}
	l.born = string(take(number()))
	count := number()
	if count > uint64(len(b)) {
		return nil, errRecord
	}
	l.items = make([]item, 0, count)
	for range count {
		kind := take(1)
		it := item{path: string(take(number()))}
		if bad {
			return nil, errRecord
		}
		switch it.kind = unpack.Kind(kind[0]); it.kind {
		case unpack.File, 'x':
			it.kind, it.key.exec = unpack.File, kind[0] == 'x'
			it.size = int64(number())
			it.key.owner = whose
			copy(it.key.sum[:], take(sha256.Size))
		case unpack.Link:
			it.target = string(take(number()))
		case unpack.Folder:
		default:
			return nil, errRecord
		}
		l.items = append(l.items, it)
	}
	if bad || len(b) > 0 {
		return nil, errRecord
	}
	return l, nil
}

// packageRecord is how a package was linked; enough to link it again.
type packageRecord struct {
	Content string          `json:"content"`
	Name    string          `json:"name"`
	Deps    map[string]link `json:"deps,omitempty"` // folder name → package
	Bytes   int64           `json:"bytes"`          // of its folders
	Born    string          `json:"born"`           // see sync.go
}

// link is where a symlink to a package leads.
type link struct {
	To   string `json:"to"`   // the package's folder in p
	Name string `json:"name"` // its name there
}

// treeRecord is how a tree was linked.
type treeRecord struct {
	Direct   map[string]link `json:"direct"`
	Hoisted  map[string]link `json:"hoisted,omitempty"`
	Packages []string        `json:"packages"` // their folders in p
	Bytes    int64           `json:"bytes"`
	Born     string          `json:"born"`
}

func encodeRecord(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	return b, nil
}
