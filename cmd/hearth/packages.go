package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hearth/client"
)

const (
	aPackageName = "NAME"
	aPackage     = "NAME@VERSION"
)

func packagesCommand(io *streams) *cobra.Command {
	c := &cobra.Command{Use: "packages [NAME]", Short: "List the npm packages that were built, are being built, or failed", Args: between(0, 1, aPackageName),
		Long: "Lists the packages of the whole installation, or those of one name: what is built, how large it is, how many functions use it,\n" +
			"and what waits or failed, with the words of the registry or the compiler."}
	s := io.connect(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		name := ""
		if len(args) == 1 {
			if name = args[0]; strings.LastIndexByte(name, '@') > 0 {
				return usage("hearth packages users "+clip(name)+" lists who uses it", "%q is not the name of a package", clip(name))
			}
		}
		api, err := s.client()
		if err != nil {
			return err
		}
		list := func(ctx context.Context, page client.Page) (client.List[client.Package], error) {
			return api.ListPackages(ctx, name, page)
		}
		return printList(s, client.Each(cmd.Context(), list), "NAME VERSION STATE FUNCTIONS SIZE UNPACKED FILES BUILT USED NOTE", packageRow)
	}
	c.AddCommand(usersCommand(io), revokeCommand(io), restoreCommand(io), revocationsCommand(io), verifyCommand(io))
	return c
}

func packageRow(p client.Package) []string {
	size, unpacked, files, built := "", "", "", ""
	if p.BuiltAt != nil {
		size, unpacked, files, built = bytesText(p.SizeBytes), bytesText(p.UnpackedBytes), strconv.FormatInt(p.Files, 10), when(*p.BuiltAt)
	}
	var notes []string
	if p.Revoked {
		notes = append(notes, "revoked")
	}
	if p.Scripts {
		notes = append(notes, "has scripts")
	}
	if p.Registry != "default" {
		notes = append(notes, p.Registry)
	}
	if p.Waiting != "" {
		notes = append(notes, "waits: "+p.Waiting)
	}
	if p.Error != nil {
		notes = append(notes, p.Error.Message)
	}
	return []string{p.Name, p.Version, p.State, strconv.FormatInt(p.Functions, 10), size, unpacked, files, built, when(p.UsedAt), strings.Join(notes, "; ")}
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<20:
		return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB"
	case n >= 1<<10:
		return strconv.FormatFloat(float64(n)/(1<<10), 'f', 1, 64) + " KiB"
	}
	return strconv.FormatInt(n, 10) + " B"
}

// parsePackage takes NAME@VERSION apart; whether they are good ones the API knows.
func parsePackage(s string) (name, version string, err error) {
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || at == len(s)-1 {
		return "", "", usage("name the exact version, as in left-pad@1.3.0 or @scope/name@2.0.0; hearth packages lists them", "%q is not %s", clip(s), aPackage)
	}
	return s[:at], s[at+1:], nil
}

func usersCommand(io *streams) *cobra.Command {
	c := &cobra.Command{Use: "users NAME@VERSION", Short: "List the functions that use a package", Args: exactly(1, aPackage)}
	s := io.connect(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		name, version, err := parsePackage(args[0])
		if err != nil {
			return err
		}
		api, err := s.client()
		if err != nil {
			return err
		}
		users, err := api.PackageUsers(cmd.Context(), name, version)
		if err != nil {
			return err
		}
		if s.asJSON {
			return printJSON(s.streams, items(users))
		}
		return s.printUsers(users)
	}
	return c
}

func (s *session) printUsers(users []client.PackageUser) error {
	rows := make([][]string, len(users))
	for i, u := range users {
		numbers := make([]string, len(u.Versions))
		for n, v := range u.Versions {
			numbers[n] = strconv.Itoa(v)
		}
		mark := ""
		if u.Active {
			mark = "*"
		}
		rows[i] = []string{place{u.Tenant, u.Container, u.Name}.String(), strings.Join(numbers, ","), mark}
	}
	return table(s.out, "FUNCTION VERSIONS ACTIVE", rows)
}

func revokeCommand(io *streams) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "revoke NAME@VERSION", Short: "Take a package out of use, and list the functions that it hits", Args: exactly(1, aPackage),
		Long: "Takes one version of a package out of use. Within 10 seconds no new instance has it, so that calls which need one fail and say why;\n" +
			"instances that run go on until they end. A deploy that comes upon it fails with the reason. The functions that are hit are printed."}
	s := io.connect(c)
	c.Flags().StringVar(&reason, "reason", "", "`WHY`, as deploys and calls are told")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		name, version, err := parsePackage(args[0])
		if err != nil {
			return err
		}
		api, err := s.client()
		if err != nil {
			return err
		}
		r, err := api.RevokePackage(cmd.Context(), name, version, reason)
		if err != nil {
			return err
		}
		if s.asJSON {
			return printJSON(s.streams, r)
		}
		s.say("revoked %s@%s; it hits %s", r.Name, r.Version, count(len(r.Functions), "function"))
		return s.printUsers(r.Functions)
	}
	return c
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

func restoreCommand(io *streams) *cobra.Command {
	c := &cobra.Command{Use: "restore NAME@VERSION", Short: "Take a revocation back", Args: exactly(1, aPackage)}
	s := io.connect(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		name, version, err := parsePackage(args[0])
		if err != nil {
			return err
		}
		api, err := s.client()
		if err != nil {
			return err
		}
		if err := api.RestorePackage(cmd.Context(), name, version); err != nil {
			if client.IsCode(err, "not_found") {
				return &failure{code: exitNotFound, err: err, text: fmt.Sprintf("%s@%s is not revoked", clip(name), clip(version)), hint: "hearth packages revocations lists what is"}
			}
			return err
		}
		if s.asJSON {
			return printJSON(s.streams, map[string]string{"restored": name + "@" + version})
		}
		s.say("restored %s@%s", name, version)
		return nil
	}
	return c
}

func revocationsCommand(io *streams) *cobra.Command {
	c := &cobra.Command{Use: "revocations", Short: "List the packages that are out of use", Args: between(0, 0, "")}
	s := io.connect(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := s.client()
		if err != nil {
			return err
		}
		all, err := api.ListRevocations(cmd.Context())
		if err != nil {
			return err
		}
		if s.asJSON {
			return printJSON(s.streams, items(all))
		}
		rows := make([][]string, len(all))
		for i, r := range all {
			rows[i] = []string{r.Name, r.Version, when(r.RevokedAt), r.Reason}
		}
		return table(s.out, "NAME VERSION REVOKED REASON", rows)
	}
	return c
}

func verifyCommand(io *streams) *cobra.Command {
	var heal bool
	c := &cobra.Command{Use: "verify", Short: "Hash the packages on the node's disk again", Args: between(0, 0, ""),
		Long: "Hashes every file of the node's package store again, and compares its links with what was linked. With --heal, what is damaged\n" +
			"is fetched from the blob store and linked anew; what a live instance may use is left until it has ended.\n" +
			"Exits with 1 if something is damaged still."}
	s := io.connect(c)
	c.Flags().BoolVar(&heal, "heal", false, "mend what is damaged")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := s.client()
		if err != nil {
			return err
		}
		status := s.progress("verifying packages")
		v, err := api.VerifyPackages(cmd.Context(), heal)
		status.stop()
		if err != nil {
			return err
		}
		return s.printVerification(v)
	}
	return c
}

func (s *session) printVerification(v client.Verification) (err error) {
	switch {
	case s.asJSON:
		err = printJSON(s.streams, v)
	case len(v.Items) > 0:
		rows := make([][]string, len(v.Items))
		for i, d := range v.Items {
			what := "damaged"
			switch {
			case d.Healed:
				what = "healed"
			case d.Waiting:
				what = "in use"
			case d.Error != "":
				what = d.Error
			}
			rows[i] = []string{d.Problem, d.Package, d.Place, d.Path, what}
		}
		err = table(s.out, "PROBLEM PACKAGE PLACE PATH STATE", rows)
	}
	if err != nil {
		return err
	}
	s.say("verified %s of %s, %s", count(v.Files, "file"), count(v.Contents, "package"), bytesText(v.Bytes))
	if left := v.Damaged - v.Healed; left > 0 {
		return &failure{code: exitFailure, text: "damaged in the package store: " + count(left, "thing"), hint: "hearth packages verify --heal mends what no live instance uses"}
	}
	return nil
}
