package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearth"
	"hearth/client"
)

// Hearth is a Platform: the management API of a running hearth.
type Hearth struct {
	Client *client.Client
	URL    string
	Token  string // for /metrics
}

// Deploy implements Platform.
func (h Hearth) Deploy(ctx context.Context, tenant, container, function, code string) (string, error) {
	spec := client.FunctionSpec{Code: code}
	f, err := h.Client.PutFunction(ctx, tenant, container, function, spec, time.Minute)
	if client.IsCode(err, "not_found") {
		if _, err = h.Client.PutTenant(ctx, tenant, client.TenantSpec{}, client.IfNoneMatch()); err != nil && !client.IsCode(err, "precondition_failed") {
			return "", err
		}
		if _, err = h.Client.PutContainer(ctx, tenant, container, client.ContainerSpec{}, client.IfNoneMatch()); err != nil && !client.IsCode(err, "precondition_failed") {
			return "", err
		}
		f, err = h.Client.PutFunction(ctx, tenant, container, function, spec, time.Minute)
	}
	if err != nil {
		return "", err
	}
	if f.Status != client.Ready {
		return "", fmt.Errorf("version %d of %s/%s/%s is %s after a minute", f.Version, tenant, container, function, f.Status)
	}
	u, err := url.Parse(f.URL)
	if err != nil {
		return "", err
	}
	return u.RequestURI(), nil
}

// Remove implements Platform.
func (h Hearth) Remove(ctx context.Context, tenant string) error {
	err := h.Client.DeleteTenant(ctx, tenant, true)
	if client.IsCode(err, "not_found") {
		return nil
	}
	return err
}

// Pool implements Platform.
func (h Hearth) Pool(ctx context.Context) (size, ready int, err error) {
	l, err := h.Client.ListNodes(ctx, client.Page{})
	if err == nil && len(l.Items) != 1 {
		err = fmt.Errorf("bench needs a single node, and there are %d", len(l.Items))
	}
	if err != nil {
		return 0, 0, err
	}
	return l.Items[0].Pool.Size, l.Items[0].Pool.Ready, nil
}

// maxMetrics bounds what /metrics may answer.
const maxMetrics = 8 << 20

// Mallocs implements Platform.
func (h Hearth) Mallocs(ctx context.Context) (float64, error) {
	return h.metric(ctx, "go_memstats_mallocs_total")
}

// metric reads a metric without labels.
func (h Hearth) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+h.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close() //nolint:errcheck // only read
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("/metrics answered %s", res.Status)
	}
	lines := bufio.NewScanner(io.LimitReader(res.Body, maxMetrics))
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, errors.Join(fmt.Errorf("/metrics has no %s", name), lines.Err())
}

// FindNode finds the Node.js binary of the default runtime's image, so that both sides of a ratio
// run the same program.
func FindNode(dataDir string) (string, error) {
	var found []string
	for _, pattern := range []string{"*/bin/node", "*/*/bin/node", "*/usr/*/bin/node"} {
		list, err := filepath.Glob(filepath.Join(dataDir, "images", pattern))
		if err != nil {
			return "", err
		}
		for _, name := range list {
			if rel, _ := filepath.Rel(filepath.Join(dataDir, "images"), name); !strings.HasPrefix(rel, "build-") { // functions do not run there
				found = append(found, name)
			}
		}
	}
	// The default runtime's first, then the newest.
	slices.SortFunc(found, func(a, b string) int {
		mine := func(p string) bool { return strings.Contains(p, hearth.DefaultRuntime) }
		switch {
		case mine(a) != mine(b) && mine(a):
			return -1
		case mine(a) != mine(b):
			return 1
		}
		return modTime(b).Compare(modTime(a))
	})
	if len(found) == 0 {
		return "", fmt.Errorf("there is no runtime image below %s", filepath.Join(dataDir, "images"))
	}
	return found[0], nil
}

func modTime(name string) time.Time {
	info, err := os.Stat(name)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
