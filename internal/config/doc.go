// Package config reads the settings of hearth serve: flags, HEARTH_… variables, a YAML file and
// defaults, in this order of precedence.
//
// There is one table, Options; flags, variables, YAML keys, help, --print-config and
// docs/configuration.md all come from it. Load reads everything once and reports all mistakes
// together; what it returns is complete, valid and never changed afterwards. An empty or wrong value
// is an error and never silently a default, and zero never means unlimited.
//
// The package owns nothing and starts nothing. It opens one file, the one that --config names.
// cmd/hearth calls it; the warden passes the Config on to the node process as JSON, so every field
// can be encoded. No setting is a secret: secrets live in files whose paths are settings.
package config
