package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxMessage bounds a packet, in bytes. The default SO_SNDBUF (208 KiB) takes it in one piece.
const MaxMessage = 64 << 10

// MaxLabel bounds an instance's label, in bytes: a page of a list still holds a dozen of them.
const MaxLabel = 4 << 10

// MaxFiles bounds the descriptors beside one message; hello carries the most.
const MaxFiles = 8

// Limits of one instance. All fields are set; zero is refused.
type Limits struct {
	MemoryMiB int `json:"memory_mib"`
	MilliCPUs int `json:"milli_cpus"`
	Pids      int `json:"pids"`
	TmpMiB    int `json:"tmp_mib"`
	WorkMiB   int `json:"work_mib,omitempty"` // files in /work, of a build sandbox only
}

// Hello is the warden's first word. Files names the descriptors that come with it, in order:
// listen, admin, token, keeper, tls-cert, tls-key.
type Hello struct {
	Config json.RawMessage `json:"config"`
	Files  []string        `json:"files"`
}

// Request is one question of the node process; exactly one of the pointers is set.
type Request struct {
	Seq      uint64           `json:"seq"`
	Start    *StartRequest    `json:"start,omitempty"`
	Limit    *LimitRequest    `json:"limit,omitempty"`
	Label    *LabelRequest    `json:"label,omitempty"`
	Destroy  *InstanceRequest `json:"destroy,omitempty"`
	Adopt    *InstanceRequest `json:"adopt,omitempty"`
	Mount    *InstanceRequest `json:"mount,omitempty"`
	Freeze   *FreezeRequest   `json:"freeze,omitempty"`
	List     *PageRequest     `json:"list,omitempty"`
	Stats    *PageRequest     `json:"stats,omitempty"`
	Image    *ImageRequest    `json:"image,omitempty"`
	ImagePut *ImagePutRequest `json:"image_put,omitempty"` // with one descriptor: the package's tarball
	TLS      *TLSRequest      `json:"tls,omitempty"`
}

// StartRequest asks for a new instance, or with Build for a build sandbox, which comes with one more
// descriptor: a TCP listener inside its network.
type StartRequest struct {
	Runtime string `json:"runtime"`
	Limits  Limits `json:"limits"`
	Build   bool   `json:"build,omitempty"`
}

// LimitRequest changes the limits of an instance.
type LimitRequest struct {
	ID     string `json:"id"`
	Limits Limits `json:"limits"`
}

// LabelRequest sets the label of an instance.
type LabelRequest struct {
	ID    string `json:"id"`
	Label string `json:"label"`
}

// InstanceRequest names one instance.
type InstanceRequest struct {
	ID string `json:"id"`
}

// FreezeRequest stops every process of an instance, or lets them go on.
type FreezeRequest struct {
	ID     string `json:"id"`
	Frozen bool   `json:"frozen"`
}

// PageRequest asks for instances in the order of their ids, those after After.
type PageRequest struct {
	After string `json:"after"`
}

// ImageRequest names the image of a runtime, or with Build the one that its packages are built in.
type ImageRequest struct {
	Runtime string `json:"runtime"`
	Build   bool   `json:"build,omitempty"`
}

// ImagePutRequest hands over one of the packages that an image is made from.
type ImagePutRequest struct {
	ImageRequest
	Package string `json:"package"` // the package's name, as Image gave it
}

// TLSRequest asks for the certificate and key as they are on disk now.
type TLSRequest struct{}

// Reply answers the request of the same Seq, or, with Seq 0, tells of an Exit.
type Reply struct {
	Seq   uint64   `json:"seq"`
	Error string   `json:"error,omitempty"`
	Code  string   `json:"code,omitempty"` // hearth.Code of the error, where it has one
	ID    string   `json:"id,omitempty"`
	List  []Listed `json:"list,omitempty"`
	Stats []Stats  `json:"stats,omitempty"`
	More  bool     `json:"more,omitempty"`
	Image *Image   `json:"image,omitempty"`
	Exit  *Exit    `json:"exit,omitempty"`
}

// Listed is one live instance.
type Listed struct {
	ID      string `json:"id"`
	Runtime string `json:"runtime"`
	Label   string `json:"label"`
	Dropped int64  `json:"dropped"` // bytes of output that the warden drained while nobody read
}

// Stats is what an instance uses.
type Stats struct {
	ID          string `json:"id"`
	MemoryBytes int64  `json:"memory"`
	PeakBytes   int64  `json:"peak"`
	CPUNanos    int64  `json:"cpu"`
	Pids        int    `json:"pids"`
	OOMKills    int64  `json:"oom"`
}

// Image says whether an image is made, and if not, which packages of npm the warden lacks for it.
type Image struct {
	Present bool      `json:"present"`
	Missing []Package `json:"missing,omitempty"`
}

// Package is one package of npm that an image is made from.
type Package struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Integrity string `json:"integrity"`
}

// Exit tells that an instance ended by itself.
type Exit struct {
	ID     string `json:"id"`
	OOM    bool   `json:"oom"`
	Status int    `json:"status"` // exit status, 128 + signal when a signal ended it
}

// Encode turns a message into one packet.
func Encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("encode message: %d bytes, at most %d", len(b), MaxMessage)
	}
	return b, nil
}

// DecodeRequest reads one request, strictly: a field that is not known, a second document or a
// request that asks for nothing or for two things is an error.
func DecodeRequest(packet []byte) (*Request, error) {
	var r Request
	if err := decode(packet, &r); err != nil {
		return nil, err
	}
	n := 0
	for _, set := range []bool{r.Start != nil, r.Limit != nil, r.Label != nil, r.Destroy != nil, r.Adopt != nil,
		r.Mount != nil, r.Freeze != nil, r.List != nil, r.Stats != nil, r.Image != nil, r.ImagePut != nil, r.TLS != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		return nil, fmt.Errorf("decode request %d: asks for %d things", r.Seq, n)
	}
	if r.Seq == 0 {
		return nil, errors.New("decode request: no sequence number")
	}
	return &r, nil
}

func decode(packet []byte, into any) error {
	if len(packet) > MaxMessage {
		return fmt.Errorf("decode message: %d bytes, at most %d", len(packet), MaxMessage)
	}
	dec := json.NewDecoder(bytes.NewReader(packet))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("decode message: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decode message: more than one document")
	}
	return nil
}
