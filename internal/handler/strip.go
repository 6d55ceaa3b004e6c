package handler

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"hearth"
	"hearth/internal/pool/instance"
)

// Stripping TypeScript of its types takes Node.js longer than a whole cold call, most of it for the
// start of the compiler. So a trial's instance does it once, before any code of the tenant's runs
// there, and cold instances get what is left. Whatever it answers is of use to that version alone.

// strip returns the files of a version without types, in an instance that has none of them yet. It
// returns nil if there is nothing to strip, or a file that cannot be: Node.js says why when it loads
// the version as it came, if that file is ever loaded.
func (h *Handler) strip(ctx context.Context, inst *instance.Instance, files []hearth.File) []hearth.File {
	if !slices.ContainsFunc(files, typed) {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, h.cfg.Load)
	defer cancel()
	bare := slices.Clone(files)
	for n, f := range files {
		if !typed(f) {
			continue
		}
		code, err := inst.Strip(within, f.Data)
		if errors.Is(err, instance.ErrNotStripped) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			h.cfg.Log.Warn("cannot strip a version of its types", "instance", inst.ID(), "err", err)
			return nil
		}
		bare[n].Data = code
	}
	return bare
}

// typed reports whether Node.js would strip a file of its types: it does not below node_modules, and
// a declaration is nothing to run.
func typed(f hearth.File) bool {
	name := path.Base(f.Path)
	switch path.Ext(name) {
	case ".ts", ".mts", ".cts":
		return !strings.HasSuffix(strings.TrimSuffix(name, path.Ext(name)), ".d") && !strings.Contains("/"+f.Path, "/node_modules/")
	}
	return false
}

// keep keeps what a version is without types and returns its digest, "" if it stays as it came:
// that serves too, only later.
func (h *Handler) keep(ctx context.Context, v hearth.Version, bare []hearth.File) string {
	if bare == nil {
		return ""
	}
	digest, err := h.cfg.Store.KeepStripped(ctx, v.FunctionID, v.Number, bare)
	if err != nil {
		h.cfg.Log.Warn("cannot keep a version without its types", "tenant", v.Tenant, "container", v.Container,
			"function", v.Function, "version", v.Number, "err", err)
		return ""
	}
	return digest
}

// files reads the files of a version, and whether they are stripped of types.
func (h *Handler) files(ctx context.Context, r *hearth.Route) (files []hearth.File, stripped bool, err error) {
	if r.Stripped != "" {
		files, err := h.cfg.Store.StrippedCode(ctx, r.FunctionID, r.Active, r.Stripped)
		if err == nil || ctx.Err() != nil {
			return files, true, err
		}
		h.cfg.Log.Warn("cannot read a version without its types; taking it as it came", "tenant", r.Tenant,
			"container", r.Container, "function", r.Function, "version", r.Active, "err", err)
	}
	files, err = h.cfg.Store.Code(ctx, r.Digest)
	return files, false, err
}
