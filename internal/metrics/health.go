package metrics

import (
	"encoding/json"
	"net/http"
)

// Healthz answers 200 as long as the process serves HTTP.
func Healthz() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, http.StatusOK, health{Status: "ok"})
	})
}

// Readyz answers 200 while missing returns nothing, and else 503 with the reasons, which are short
// fixed sentences ("the pool is warming up"): anybody may read them.
func Readyz(missing func() []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if reasons := missing(); len(reasons) > 0 {
			w.Header().Set("Retry-After", "1")
			answer(w, r, http.StatusServiceUnavailable, health{Status: "unready", Reasons: reasons})
			return
		}
		answer(w, r, http.StatusOK, health{Status: "ok"})
	})
}

type health struct {
	Status  string   `json:"status"`
	Reasons []string `json:"reasons,omitempty"`
}

func answer(w http.ResponseWriter, r *http.Request, status int, h health) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		_ = json.NewEncoder(w).Encode(h) // the client may be gone
	}
}
