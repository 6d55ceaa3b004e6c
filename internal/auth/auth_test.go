package auth_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"hearth"
	"hearth/internal/auth"
)

func TestAdminTakesOnlyItsTokenAsBearer(t *testing.T) {
	t.Parallel()
	token := auth.Generate().Reveal()
	a, err := auth.NewAdmin([]byte(" " + token + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		header []string
		query  string
		ok     bool
	}{
		{"right", []string{"Bearer " + token}, "", true},
		{"scheme in any case", []string{"bEARER " + token}, "", true},
		{"absent", nil, "", false},
		{"in the query", nil, "token=" + token + "&access_token=" + token, false},
		{"empty", []string{""}, "", false},
		{"no token", []string{"Bearer"}, "", false},
		{"empty token", []string{"Bearer "}, "", false},
		{"no scheme", []string{token}, "", false},
		{"basic", []string{"Basic " + token}, "", false},
		{"cut", []string{"Bearer " + token[:42]}, "", false},
		{"longer", []string{"Bearer " + token + "a"}, "", false},
		{"two spaces", []string{"Bearer  " + token}, "", false},
		{"two headers", []string{"Bearer " + token, "Bearer " + token}, "", false},
		{"list", []string{"Bearer x, Bearer " + token}, "", false},
		{"huge", []string{"Bearer " + strings.Repeat("a", 1<<20)}, "", false},
		{"other case", []string{"Bearer " + strings.ToUpper(token)}, "", false},
	} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/tenants?"+c.query, nil)
		r.Header["Authorization"] = c.header
		err := a.Check(r)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && (hearth.CodeOf(err) != hearth.CodeUnauthorized || strings.Contains(err.Error(), token)) {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
}

func TestTokenFilesThatAreNoTokens(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"", "\n", "short", strings.Repeat("a", 513), strings.Repeat("a b", 20), strings.Repeat("é", 30)} {
		if _, err := auth.NewAdmin([]byte(file)); err == nil {
			t.Errorf("token %.20q was taken", file)
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	const canary = "canary-5d1f"
	s := auth.Secret(canary)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", s, "in", struct{ S auth.Secret }{s})
	j, _ := json.Marshal(map[string]any{"token": s})
	all := log.String() + string(j) + fmt.Sprintf("%s %v %+v %#v %q", s, s, []auth.Secret{s}, s, s)
	if strings.Contains(all, canary) {
		t.Errorf("secret in %s", all)
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	check := auth.Hosts("hearth.example")
	for host, ok := range map[string]bool{
		"localhost": true, "LocalHost:8080": true, "127.0.0.1:8080": true, "127.9.9.9": true, "[::1]:8080": true, "[::1]": true,
		"hearth.example:80": true, "localhost.": true, "": false, "evil.example": false, "localhost.evil.example": false,
		"127.0.0.1.evil.example": false, "10.0.0.1": false, "0.0.0.0": false, "xlocalhost": false,
	} {
		err := check(&http.Request{Host: host})
		if (err == nil) != ok {
			t.Errorf("host %q: %v", host, err)
		}
	}
}
