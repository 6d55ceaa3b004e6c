package api

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"hearth"
	"hearth/internal/module/host"
)

// damagedMost bounds how much damage one answer tells of: a disk that is gone is told by its first lines.
const damagedMost = 1000

// verifyBody documents what decodeVerify reads.
type verifyBody struct {
	Heal bool `json:"heal,omitempty" doc:"Whether what is damaged is fetched and linked anew."`
}

type verificationView struct {
	Contents int          `json:"contents" doc:"Packages that were looked at, each once however it is linked."`
	Packages int          `json:"packages" doc:"Packages in the context of their dependencies that were looked at."`
	Trees    int          `json:"trees" doc:"Trees that were looked at."`
	Files    int          `json:"files" doc:"Files that were hashed and are as they were unpacked."`
	Bytes    int64        `json:"bytes" doc:"Size of these files."`
	Damaged  int          `json:"damaged" doc:"Things that are not as they were."`
	Healed   int          `json:"healed" doc:"How many of them were healed."`
	Items    []damageView `json:"items" nullable:"false" doc:"What is damaged, 1,000 at most."`
}

type damageView struct {
	Package string `json:"package" doc:"Package that it belongs to, name@version; empty for the links of a tree."`
	Place   string `json:"place" doc:"Folder in the node's package store."`
	Path    string `json:"path" doc:"File or link below it; empty for the record of the whole."`
	Problem string `json:"problem" enum:"missing,changed,mode,kind,link,extra,record" doc:"What is wrong with it."`
	Healed  bool   `json:"healed" doc:"Whether it was healed."`
	Waiting bool   `json:"waiting" doc:"Whether it is left as it is since a live instance may use it."`
	Error   string `json:"error,omitempty" doc:"Why it could not be healed; absent otherwise."`
}

func (a *api) verifyOperation() operation {
	return operation{Operation: huma.Operation{Method: http.MethodPost, Path: "/v1/packages/verify", OperationID: "verify-packages", Tags: []string{"Packages"},
		Summary: "Hash the packages on this node's disk again",
		Description: "Compares every file and link with what was unpacked. The answer takes as long as reading them does; a call that ends stops it. " +
			"One runs at a time."},
		body: &sample{"Whether to heal.", verifyBody{}, `{"heal":true}`},
		answers: map[int]sample{200: {"What was found.", verificationView{},
			`{"contents":612,"packages":640,"trees":12,"files":14022,"bytes":181403211,"damaged":1,"healed":1,"items":[
			{"package":"left-pad@1.3.0","place":"5b0d6f3c","path":"index.js","problem":"changed","healed":true,"waiting":false}]}`}},
		run: a.verify}
}

func decodeVerify(doc *value) (heal bool, err error) {
	var f fields
	if !f.object(doc, "", "heal") {
		return false, f.err()
	}
	if v := doc.member("heal"); v != nil {
		if v.kind != kindBool {
			f.wrong(v, "heal", kindBool)
		}
		heal = v.text == "true"
	}
	return heal, f.err()
}

func (a *api) verify(r *request) (answer, error) {
	heal, err := decodeVerify(r.body)
	if err != nil {
		return answer{}, err
	}
	select {
	case a.verifying <- struct{}{}:
		defer func() { <-a.verifying }()
	default:
		return answer{}, &hearth.Error{Code: hearth.CodeUnavailable, Message: "The packages of this node are being verified already.",
			Component: hearth.ComponentLimit, Reason: "verify", RetryAfter: 30 * time.Second}
	}
	report, err := a.Verifier.Verify(r.Context(), heal)
	if err != nil {
		return answer{}, err
	}
	names, err := a.contentNames(r, report)
	return answer{status: http.StatusOK, body: viewVerification(report, names)}, err
}

// contentNames says which packages the damaged contents are.
func (a *api) contentNames(r *request, report host.Report) (map[string]string, error) {
	seen := map[string]bool{}
	var ids []string
	for _, d := range report.Damaged[:min(len(report.Damaged), damagedMost)] {
		if d.Content != "" && !seen[d.Content] {
			seen[d.Content] = true
			ids = append(ids, d.Content)
		}
	}
	contents, err := a.Store.Contents(r.Context(), ids)
	names := make(map[string]string, len(contents))
	for _, c := range contents {
		names[c.ID] = c.Package + "@" + c.Version
	}
	return names, err
}

func viewVerification(r host.Report, names map[string]string) verificationView {
	v := verificationView{Contents: r.Contents, Packages: r.Packages, Trees: r.Trees, Files: r.Files, Bytes: r.Bytes, Damaged: len(r.Damaged), Items: []damageView{}}
	for _, d := range r.Damaged {
		if d.Healed {
			v.Healed++
		}
		if len(v.Items) == damagedMost {
			continue
		}
		place := d.Content
		if d.Package != "" {
			place = "p/" + d.Package
		} else if d.Tree != "" {
			place = "t/" + d.Tree
		}
		v.Items = append(v.Items, damageView{Package: names[d.Content], Place: place, Path: d.Path, Problem: d.Problem, Healed: d.Healed, Waiting: d.Waiting, Error: d.Err})
	}
	return v
}
