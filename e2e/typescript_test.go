package e2e_test

import (
	"strings"
	"testing"
	"time"

	"hearth/e2e/harness"
)

// A deploy strips TypeScript of its types, and every call, cold or warm, runs what is left: the same
// lines and columns, with blanks for types.
func TestTypeScriptIsStrippedAtDeploy(t *testing.T) {
	t.Parallel()
	n := shared(t)
	n.Container("typescript", "c", M{})
	files := M{
		"index.ts": "import { readFileSync } from 'node:fs'\nimport { here } from './lib/here.ts'\ninterface Text { text: string }\n" +
			"export default async (r: Request): Promise<Response> => {\n  const all: Text = { text: readFileSync(import.meta.filename, 'utf8') }\n  return Response.json([all.text, here()])\n}\n",
		"lib/here.ts": "type Place = string\nexport const here = (): Place => new Error('x').stack!.split('\\n')[1]!.trim()\n",
	}
	p := n.Put("typescript", "c", "f", M{"files": files})
	if p.JSON()["status"] != "ready" {
		t.Fatalf("%d %v %s", p.Status, p.Err, p.Body)
	}
	a := n.Call("typescript", "c", "f")
	if a.Status != 200 || a.Header.Get("hearth-start") != "cold-local" {
		t.Fatalf("%d %v %v %s", a.Status, a.Err, a.Header, a.Body)
	}
	if text := a.Text(); strings.Contains(text, "interface") || strings.Contains(text, ": Request") || !strings.Contains(text, "here.ts:2:34") {
		t.Errorf("it ran %s", text)
	}
	if b := n.Call("typescript", "c", "f"); b.Text() != a.Text() {
		t.Errorf("warm: %s", b.Body)
	}
	// A version that is put in its place is stripped too, and one that cannot be says why.
	files["lib/here.ts"] = "export enum Place { Here }\nexport const here = () => Place.Here\n"
	p = n.Put("typescript", "c", "f", M{"files": files})
	if e, _ := p.JSON()["error"].(map[string]any); p.JSON()["status"] != "failed" || !strings.Contains(p.Text(), "enum is not supported in strip-only mode") || e["reason"] != "syntax" {
		t.Errorf("an enum: %s", p.Body)
	}
	files["lib/here.ts"] = "export const here = (): string => 'second'\n"
	n.Put("typescript", "c", "f", M{"files": files})
	harness.WaitFor(t, "the second version", 5*time.Second, func() bool {
		return strings.Contains(n.Call("typescript", "c", "f").Text(), "second")
	})
}
