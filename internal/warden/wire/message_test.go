package wire_test

import (
	"context"
	"os"
	"reflect"
	"strings"
	"testing"

	"hearth/internal/warden/wire"
)

func TestRequestsPassUnchanged(t *testing.T) {
	t.Parallel()
	limits := wire.Limits{MemoryMiB: 1, MilliCPUs: 2, Pids: 3, TmpMiB: 4, WorkMiB: 5}
	for _, want := range []wire.Request{
		{Seq: 1, Start: &wire.StartRequest{Runtime: "node24", Limits: limits, Build: true}},
		{Seq: 2, Mount: &wire.InstanceRequest{ID: "a"}},
		{Seq: 3, Freeze: &wire.FreezeRequest{ID: "a", Frozen: true}},
		{Seq: 4, Freeze: &wire.FreezeRequest{ID: "a"}},
		{Seq: 5, Image: &wire.ImageRequest{Runtime: "node24", Build: true}},
		{Seq: 6, ImagePut: &wire.ImagePutRequest{ImageRequest: wire.ImageRequest{Runtime: "node24", Build: true}, Package: "npm"}},
	} {
		packet, err := wire.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.DecodeRequest(packet)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s became %+v, %v", packet, got, err)
		}
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	t.Parallel()
	for _, packet := range []string{
		``, `{}`, `null`, `{"seq":1}`, `{"mount":{"id":"a"}}`,
		`{"seq":1,"mount":{"id":"a"},"freeze":{"id":"a","frozen":true}}`,
		`{"seq":1,"mount":{"id":"a","path":"/etc"}}`,
		`{"seq":1,"mount":{"id":1}}`,
		`{"seq":1,"freeze":{"id":"a","frozen":"yes"}}`,
		`{"seq":1,"start":{"runtime":"node24","build":1}}`,
		`{"seq":1,"image_put":{"runtime":"node24","package":"npm","file":"/etc/shadow"}}`,
		`{"seq":1,"mount":{"id":"a"}}{"seq":2}`,
		`{"seq":1,"mount":{"id":"` + strings.Repeat("a", wire.MaxMessage) + `"}}`,
	} {
		if r, err := wire.DecodeRequest([]byte(packet)); err == nil {
			t.Errorf("%.80s became %+v", packet, r)
		}
	}
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add([]byte(`{"seq":1,"freeze":{"id":"a","frozen":true}}`))
	f.Add([]byte(`{"seq":1,"start":{"runtime":"node24","build":true,"limits":{"work_mib":1}}}`))
	f.Add([]byte(`{"seq":1,"image_put":{"runtime":"node24","build":true,"package":"npm"}}`))
	f.Fuzz(func(t *testing.T, packet []byte) {
		r, err := wire.DecodeRequest(packet)
		if err != nil {
			return
		}
		again, err := wire.Encode(r)
		if err != nil {
			return // escapes made it too long
		}
		if twice, err := wire.DecodeRequest(again); err != nil || !reflect.DeepEqual(r, twice) {
			t.Fatalf("%s became %+v, then %+v, %v", packet, r, twice, err)
		}
	})
}

// A build sandbox comes with one descriptor more than an instance; another number is refused, and
// nothing of it stays open.
func TestDescriptorsOfABuildSandbox(t *testing.T) {
	for _, n := range []int{5, 6, 7} {
		warden, end, err := wire.Pair()
		if err != nil {
			t.Fatal(err)
		}
		node, err := wire.NewConn(end)
		if err != nil {
			t.Fatal(err)
		}
		client := wire.NewClient(node)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- client.Run(ctx) }()
		before, _ := os.ReadDir("/proc/self/fd")
		go func() {
			packet, _, err := warden.Read()
			if err != nil {
				return
			}
			r, err := wire.DecodeRequest(packet)
			if err != nil || r.Start == nil || !r.Start.Build {
				t.Errorf("asked for %+v, %v", r, err)
				return
			}
			var files []*os.File
			for range n {
				f, err := os.Open("/dev/null")
				if err != nil {
					t.Error(err)
					return
				}
				defer f.Close()
				files = append(files, f)
			}
			reply, _ := wire.Encode(wire.Reply{Seq: r.Seq, ID: "a"})
			warden.Write(reply, files...)
		}()
		s, err := client.StartBuild(t.Context(), "node24", wire.Limits{})
		if (err == nil) != (n == 6) {
			t.Errorf("%d descriptors: %v", n, err)
		}
		if err == nil {
			if s.Registry == nil || s.Control == nil {
				t.Error("a descriptor is missing")
			}
			s.Close()
		}
		cancel()
		<-ended
		warden.Close()
		if after, _ := os.ReadDir("/proc/self/fd"); len(after) > len(before) {
			t.Errorf("%d descriptors: %d of them stay open", n, len(after)-len(before))
		}
	}
}
