package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearth"
)

// Progress is how far the packages of a version are.
type Progress struct {
	Stage   string // locking, building or linking
	Total   int    // packages, each once however it is linked
	Known   int    // of them, that were there already
	Fetched int    // that came from the registry since, built or not
	Built   int    // that became ready since
	Waiting string // why it does not go on, "" while it does
}

// Settler settles the packages of versions.
type Settler interface {
	// Progress says how far a version's packages are, with a channel that is closed at the next change.
	// The channel is nil if nothing is under way here.
	Progress(v hearth.Version) (Progress, <-chan struct{})
}

type progressView struct {
	Stage   string `json:"stage" enum:"queued,locking,building,linking,trial" doc:"What is done: ranges become exact versions, what is missing is fetched and built, the packages are linked, the code is tried."`
	Total   int    `json:"total" doc:"Packages; 0 until they are known."`
	Known   int    `json:"known" doc:"Of them, that were built before."`
	Fetched int    `json:"fetched" doc:"Of them, that came from the registry for this deploy."`
	Built   int    `json:"built" doc:"Of them, that became ready since the deploy."`
	Waiting string `json:"waiting,omitempty" doc:"Why it does not go on; absent while it does."`
}

type deployView struct {
	Name      string        `json:"name" doc:"Name of the function."`
	Tenant    string        `json:"tenant" doc:"Tenant that owns it."`
	Container string        `json:"container" doc:"Container that it runs in."`
	Version   int           `json:"version" doc:"Number of the version."`
	Status    hearth.Status `json:"status" enum:"building,ready,failed" doc:"Where it stands; ready and failed are final."`
	Progress  *progressView `json:"progress,omitempty" doc:"How far it is; absent when it is ready or failed."`
	Error     *failureView  `json:"error,omitempty" doc:"Why it failed; absent otherwise."`
}

const (
	progressExample = `{"stage":"building","total":62,"known":58,"fetched":3,"built":2}`
	deployExample   = `{"name":"paid","tenant":"acme","container":"billing","version":4,"status":"building","progress":` + progressExample + `}`
	doneExample     = `{"name":"paid","tenant":"acme","container":"billing","version":4,"status":"ready"}`
	progressEvents  = "event: progress\ndata: " + deployExample + "\n\nevent: done\ndata: " + doneExample + "\n\n"
)

const (
	// progressPause is the least time between two events: thousands of packages make as many changes.
	progressPause = 100 * time.Millisecond
	// progressLook is how often it is seen whether packages, or a trial, have begun.
	progressLook = 250 * time.Millisecond
)

func (a *api) progress() operation {
	return operation{Operation: huma.Operation{Method: http.MethodGet, Path: functionPath + "/progress", OperationID: "get-progress", Tags: []string{"Versions"},
		Summary: "See or follow how far a deploy is",
		Description: "Of the version, or of the newest one. With follow=true the answer is a stream of server-sent events: progress each time something changed, " +
			"then done, with status and error, and the end."},
		query: []string{"version", "follow"},
		answers: map[int]sample{200: {"The state now, or a stream of them.", deployView{},
			`{"name":"paid","tenant":"acme","container":"billing","version":4,"status":"building","progress":` + progressExample + `}`}},
		events: &eventsSample{"Server-sent events progress and done; data is the same document on one line.", progressEvents},
		run:    a.getProgress}
}

// version returns the version that a request names, or else the one with the number otherwise.
func (a *api) version(r *request, otherwise int) (hearth.Version, error) {
	number := r.query.version
	if number == 0 {
		number = otherwise
	}
	return a.Store.GetVersion(r.Context(), r.tenant, r.container, r.function, number)
}

func (a *api) getProgress(r *request) (answer, error) {
	s, err := a.Store.GetFunction(r.Context(), r.tenant, r.container, r.function)
	if err != nil {
		return answer{}, err
	}
	v, err := a.version(r, s.Function.Latest)
	if err != nil {
		return answer{}, err
	}
	if !r.query.follow {
		view := viewDeploy(v)
		view.Progress = a.viewProgress(v)
		return answer{status: http.StatusOK, body: view}, nil
	}
	leave, err := a.enterFollowers()
	if err != nil {
		return answer{}, err
	}
	return answer{stream: func() {
		defer leave()
		a.followDeploy(r, v)
	}}, nil
}

// viewDeploy shows where a version stands, but for its progress.
func viewDeploy(v hearth.Version) deployView {
	return deployView{Name: v.Function, Tenant: v.Tenant, Container: v.Container, Version: v.Number, Status: v.Status, Error: viewFailure(v.Failure)}
}

// viewProgress is nil for a version that is not building.
func (a *api) viewProgress(v hearth.Version) *progressView {
	switch {
	case v.Status != hearth.StatusBuilding:
		return nil
	case v.Settled:
		return &progressView{Stage: "trial"}
	}
	p, _ := a.Settler.Progress(v)
	return viewProgress(p)
}

func viewProgress(p Progress) *progressView {
	if p.Stage == "" {
		p.Stage = "queued"
	}
	return &progressView{Stage: p.Stage, Total: p.Total, Known: p.Known, Fetched: p.Fetched, Built: p.Built, Waiting: p.Waiting}
}

// followDeploy streams how far a version is until it is settled, the client goes or it is gone.
func (a *api) followDeploy(r *request, v hearth.Version) {
	s, err := beginEvents(r)
	if err != nil {
		return
	}
	defer s.end()

	ctx, cancel := context.WithCancel(r.Context())
	number, settled := v.Number, make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(settled)
		err := a.Deployer.Settled(ctx, r.tenant, r.container, r.function, number)
		if err != nil && ctx.Err() == nil {
			a.Log.Warn("a followed deploy ended early", "tenant", r.tenant, "container", r.container, "function", r.function, "version", number, "err", err)
			cancel() // a client that comes again is told
		}
	})
	defer wg.Wait()
	defer cancel()

	alive := time.NewTicker(a.comment)
	defer alive.Stop()
	ended, last := settled, ""
	for {
		p, changed := a.Settler.Progress(v)
		if changed == nil || ended == nil { // the store knows
			now, err := a.Store.GetVersion(ctx, v.Tenant, v.Container, v.Function, v.Number)
			if err != nil || now.FunctionID != v.FunctionID {
				return
			}
			v = now
		}
		view := viewDeploy(v)
		switch {
		case v.Status != hearth.StatusBuilding:
			_ = s.event("done", view) // it is the end either way
			return
		case v.Settled:
			view.Progress = &progressView{Stage: "trial"}
		default:
			view.Progress = viewProgress(p)
		}
		if last, err = s.changed(view, last); err != nil {
			return
		}
		var look <-chan time.Time
		if changed == nil || ended == nil {
			look = time.After(progressLook)
		}
		select {
		case <-changed:
			select {
			case <-time.After(progressPause):
			case <-ctx.Done():
			}
		case <-look:
		case <-ended:
			ended = nil
		case <-alive.C:
			err = s.write(": \n\n")
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// changed writes a progress event unless it is the same as the last, and returns its data.
func (s events) changed(view deployView, last string) (string, error) {
	data, err := json.Marshal(view)
	if err != nil || string(data) == last {
		return last, err
	}
	return string(data), s.write("event: progress\ndata: " + string(data) + "\n\n")
}

func (s events) event(name string, of any) error {
	data, err := json.Marshal(of) // one line: JSON escapes line breaks
	if err != nil {
		return fmt.Errorf("encode event %s: %w", name, err)
	}
	return s.write("event: " + name + "\ndata: " + string(data) + "\n\n")
}
