package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hearth"
	"hearth/client"
	"hearth/cmd/hearth/internal/source"
	"hearth/cmd/hearth/internal/tty"
)

// deployFlags are what hearth.json can say too; a flag wins.
type deployFlags struct {
	place
	entry, runtime, model string
	timeout               time.Duration
	config                []string
	secrets, secretEnvs   []string
	wait                  time.Duration
	refresh               bool
}

func deployCommand(io *streams) *cobra.Command {
	var f deployFlags
	c := &cobra.Command{Use: "deploy DIR|FILE", Short: "Deploy a function from a folder or a file", Args: exactly(1, "DIR|FILE"),
		Long: `Deploys a folder with its hearth.json, or one file. It makes the tenant and the container where they are missing,
waits until the version is ready, and prints the URL at which the function is called.

hearth.json has the fields of the API's document and tenant, container and name; flags win over it. Of a folder,
everything is sent but node_modules, dot files, hearth.json itself and what .hearthignore (in the words of .gitignore)
names. Symbolic links are not followed.

Packages are the dependencies of hearth.json and of a package.json in the folder; a package-lock.json beside it is taken
as it is. While they are settled, fetched and built, stderr tells how far that is.

The value of a secret is read from a file, stdin or a variable, and never from an argument, which everybody on this
machine could read.`,
		Example: "  hearth deploy ./paid --tenant acme --container shop\n  hearth deploy hook.js --tenant acme --container shop --config greeting=hi --config retries:=3 --secret KEY=@key.txt"}
	s := io.connect(c)
	c.Flags().StringVar(&f.tenant, "tenant", "", "`TENANT` that it belongs to")
	c.Flags().StringVar(&f.container, "container", "", "`CONTAINER` that it runs in")
	c.Flags().StringVar(&f.function, "name", "", "`NAME` of the function (default: that of the folder or file)")
	c.Flags().StringVar(&f.entry, "entry", "", "`FILE` to begin with")
	c.Flags().StringVar(&f.runtime, "runtime", "", "`RUNTIME`: "+strings.Join(hearth.Runtimes, " or "))
	c.Flags().StringVar(&f.model, "model", "", "`MODEL`: callback, promise, fetch or server (default: found out)")
	c.Flags().DurationVar(&f.timeout, "timeout", 0, "time limit of a request (default 30s)")
	c.Flags().StringArrayVar(&f.config, "config", nil, "`KEY=TEXT` or KEY:=JSON for the config; may be given again")
	c.Flags().StringArrayVar(&f.secrets, "secret", nil, "`NAME=@FILE` to read a secret from a file, @- for stdin; may be given again")
	c.Flags().StringArrayVar(&f.secretEnvs, "secret-env", nil, "`NAME` of a secret and of the variable that holds it; may be given again")
	c.Flags().DurationVar(&f.wait, "wait", 30*time.Second, "wait so long until it is ready, at most "+hearth.LimitWait.Text()+"; 0 does not wait")
	c.Flags().Lookup("wait").NoOptDefVal = "30s"
	c.Flags().BoolVar(&f.refresh, "refresh", false, "resolve the dependencies again, though nothing changed")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		src, err := source.Load(args[0])
		if err != nil {
			return usageOf(err)
		}
		p, doc, err := f.document(s, src)
		if err != nil {
			return err
		}
		for _, name := range src.Skipped {
			s.say("left out %s, which is a link or no file", name)
		}
		api, err := s.client()
		if err != nil {
			return err
		}
		return s.deploy(cmd.Context(), api, p, doc, f.wait, f.refresh)
	}
	return c
}

// document puts hearth.json and the flags together.
func (f *deployFlags) document(s *session, src *source.Source) (place, client.FunctionSpec, error) {
	m := &src.Manifest
	for _, one := range []struct {
		flag string
		to   *string
	}{{f.tenant, &m.Tenant}, {f.container, &m.Container}, {f.function, &m.Name}, {f.entry, &m.Entry}, {f.runtime, &m.Runtime}, {f.model, &m.Model}} {
		if one.flag != "" {
			*one.to = one.flag
		}
	}
	if m.Name == "" {
		m.Name = strings.ToLower(src.Base)
	}
	for _, one := range []struct{ what, value string }{{"tenant", m.Tenant}, {"container", m.Container}, {"name", m.Name}} {
		if one.value == "" {
			return place{}, client.FunctionSpec{}, usage("give --"+one.what+", or write it into hearth.json", "the %s of the function is not said", one.what)
		}
		if !hearth.ValidName(one.value) {
			return place{}, client.FunctionSpec{}, usage("names have 1 to 63 lower-case letters, digits and dashes; give --"+one.what, "%q cannot be the %s", clip(one.value), one.what)
		}
	}
	if f.timeout != 0 {
		if f.timeout < time.Millisecond || f.timeout > hearth.LimitTimeout.Duration() {
			return place{}, client.FunctionSpec{}, usage("give 1ms to "+hearth.LimitTimeout.Text(), "--timeout %s is out of range", f.timeout)
		}
		m.TimeoutMS = int(f.timeout.Milliseconds())
	}
	if f.wait < 0 || f.wait > hearth.LimitWait.Duration() {
		return place{}, client.FunctionSpec{}, usage("give 0 to "+hearth.LimitWait.Text(), "--wait %s is out of range", f.wait)
	}
	for _, pair := range f.config {
		if err := m.SetConfig(pair); err != nil {
			return place{}, client.FunctionSpec{}, usage("as in --config greeting=hi or --config retries:=3", "--config: %v", err)
		}
	}
	for _, one := range f.secrets {
		name, file, ok := strings.Cut(one, "=@")
		if !ok || strings.Contains(name, "=") {
			name, _, _ = strings.Cut(one, "=") // its value is not repeated
			return place{}, client.FunctionSpec{}, usage("write --secret NAME=@FILE, --secret NAME=@- for stdin, or --secret-env NAME", "--secret %s does not say from where the value is read", clip(name))
		}
		value, err := source.SecretFromFile(file, s.in)
		if err != nil {
			return place{}, client.FunctionSpec{}, usage("", "--secret %s: %v", clip(name), err)
		}
		m.SetSecret(name, value)
	}
	for _, name := range f.secretEnvs {
		value, err := source.SecretFromEnv(name, s.environ())
		if err != nil {
			return place{}, client.FunctionSpec{}, usage("export it, or write --secret NAME=@FILE", "--secret-env: %v", err)
		}
		m.SetSecret(name, value)
	}
	doc, err := src.Document()
	if err != nil {
		return place{}, doc, usageOf(err)
	}
	return place{m.Tenant, m.Container, m.Name}, doc, nil
}

// usageOf makes what is wrong with the source an error of usage, unless it carries a code.
func usageOf(err error) error {
	var e *hearth.Error
	if errors.As(err, &e) {
		return err
	}
	return usage("", "%v", err)
}

// firstWait is how long the deploy's own answer is held: most are ready by then. What takes longer is
// followed.
const firstWait = 500 * time.Millisecond

func (s *session) deploy(ctx context.Context, api *client.Client, p place, doc client.FunctionSpec, wait time.Duration, refresh bool) error {
	var opts []client.Option
	if refresh {
		opts = append(opts, client.Refresh())
	}
	status, began := s.progress("deploying "+p.String()), time.Now()
	f, err := api.PutFunction(ctx, p.tenant, p.container, p.function, doc, min(wait, firstWait), opts...)
	if client.IsCode(err, "not_found") {
		if err = s.makeParents(ctx, api, p); err == nil {
			f, err = api.PutFunction(ctx, p.tenant, p.container, p.function, doc, min(wait, firstWait), opts...)
		}
	}
	if left := wait - time.Since(began); err == nil && f.Status == client.Building && left > 0 {
		f, err = follow(ctx, api, p, f, left, status)
	}
	status.stop()
	if err != nil {
		return err
	}
	if s.asJSON {
		if err := printJSON(s.streams, f); err != nil {
			return err
		}
	}
	switch f.Status {
	case client.Failed:
		text := fmt.Sprintf("version %d of %s failed", f.Version, p) + failureText(f.Error)
		hint := "mend it and deploy again"
		if f.Active != 0 {
			hint += fmt.Sprintf("; version %d goes on serving", f.Active)
		}
		return &failure{code: exitFailure, text: text, hint: hint}
	case client.Building:
		if wait > 0 {
			text := fmt.Sprintf("version %d of %s is not ready after %s", f.Version, p, wait)
			if f.Progress != nil {
				if far := progressText(*f.Progress); far != "" {
					text += ": " + far
				}
			}
			return &failure{code: exitUnavailable, text: text, hint: "it goes on; hearth get " + p.String() + " tells when it is"}
		}
		s.say("version %d is being tried", f.Version)
	default:
		s.say("version %d is ready", f.Version)
	}
	if s.asJSON {
		return nil
	}
	_, err = fmt.Fprintln(s.out, tty.Escape(f.URL))
	return err
}

// follow shows how far a version is until it is ready or failed, or wait is over.
func follow(ctx context.Context, api *client.Client, p place, f client.Function, wait time.Duration, status *status) (client.Function, error) {
	within, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for d, err := range api.FollowProgress(within, p.tenant, p.container, p.function, f.Version) {
		if err != nil && within.Err() == nil {
			return f, err
		}
		if d.Progress != nil {
			f.Progress = d.Progress
			status.show(*d.Progress)
		}
		if d.Status == client.Ready || d.Status == client.Failed {
			f.Status, f.Error, f.Progress = d.Status, d.Error, nil
		}
	}
	if f.Status == client.Building || ctx.Err() != nil {
		return f, ctx.Err()
	}
	now, err := api.GetFunction(ctx, p.tenant, p.container, p.function)
	if err != nil || now.Version != f.Version { // somebody deployed again: this one's end is told by what was said of it
		return f, nil //nolint:nilerr // the deploy is made
	}
	return now, nil
}

// failureText is the rest of a sentence that says what failed. Words of several lines, such as npm's,
// have lines of their own.
func failureText(e *client.Failure) string {
	if e == nil {
		return ""
	}
	message := e.Message
	if strings.Contains(message, "\n") && e.Reason == "dependencies" {
		message = "\n  " + strings.ReplaceAll(strings.TrimRight(message, "\n"), "\n", "\n  ")
	} else {
		message = " " + message
	}
	text := " (" + e.Reason + "):" + message
	if e.Stack != "" && !strings.Contains(e.Message, e.Stack) {
		text += "\n" + e.Stack
	}
	return text
}

// makeParents makes the tenant and the container where they are missing, and says so.
func (s *session) makeParents(ctx context.Context, api *client.Client, p place) error {
	_, err := api.PutTenant(ctx, p.tenant, client.TenantSpec{}, client.IfNoneMatch())
	switch {
	case err == nil:
		s.say("made tenant %s", p.tenant)
	case !client.IsCode(err, "precondition_failed"):
		return err
	}
	_, err = api.PutContainer(ctx, p.tenant, p.container, client.ContainerSpec{}, client.IfNoneMatch())
	switch {
	case err == nil:
		s.say("made container %s/%s", p.tenant, p.container)
	case !client.IsCode(err, "precondition_failed"):
		return err
	}
	return nil
}
