package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// A setting has its value from the first of these that has it:
//
//	the flag             --check-allow 10.0.0.0/8
//	the environment      ROLLCALL_CHECK_ALLOW=10.0.0.0/8
//	the file of --config {"check-allow": ["10.0.0.0/8"]}
//	the default
const variablePrefix = "ROLLCALL_"

func variableOf(name string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// applyDefaults sets the flags that were not given from the environment and from the
// file that the flag or variable of "config" names.
func applyDefaults(flags *pflag.FlagSet) error {
	given := make(map[string]bool)
	flags.Visit(func(f *pflag.Flag) { given[f.Name] = true })
	var failure error
	set := func(name, value, origin string) {
		if given[name] || failure != nil || name == "help" || name == "print-config" {
			return
		}
		given[name] = true
		if err := flags.Set(name, value); err != nil {
			failure = fmt.Errorf("%s: %s: %w", origin, name, err)
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if value, ok := os.LookupEnv(variableOf(f.Name)); ok {
			set(f.Name, value, variableOf(f.Name))
		}
	})
	path := flags.Lookup("config").Value.String()
	if path == "" || failure != nil {
		return failure
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	var values map[string]any
	if err := json.Unmarshal(text, &values); err != nil {
		return fmt.Errorf("config: %s: %w", path, err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		if flags.Lookup(name) == nil || name == "config" {
			return fmt.Errorf("config: %s: %q is no setting", path, name)
		}
		set(name, settingText(value), path)
	}
	return failure
}

// settingText is a JSON value as a flag takes it.
func settingText(value any) string {
	if items, ok := value.([]any); ok {
		texts := make([]string, len(items))
		for i, item := range items {
			texts[i] = fmt.Sprint(item)
		}
		return strings.Join(texts, ",")
	}
	return fmt.Sprint(value)
}

// printEffective writes all settings as a file of --config has them.
func printEffective(flags *pflag.FlagSet, out io.Writer) error {
	values := make(map[string]any)
	flags.VisitAll(func(f *pflag.Flag) {
		switch v := f.Value.(type) {
		case pflag.SliceValue:
			values[f.Name] = append([]string{}, v.GetSlice()...)
		default:
			values[f.Name] = f.Value.String()
			if f.Value.Type() == "bool" {
				values[f.Name] = f.Value.String() == "true"
			}
		}
	})
	delete(values, "help")
	delete(values, "print-config")
	delete(values, "config")
	values["backend"] = withoutSecrets(fmt.Sprint(values["backend"]))
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(values)
}

// withoutSecrets is a backend's URL without its passwords.
func withoutSecrets(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(not shown: it is no valid URL)"
	}
	query := u.Query()
	for name := range query {
		if strings.Contains(name, "password") && !strings.HasSuffix(name, "_file") {
			query.Set(name, "xxxxx")
		}
	}
	u.RawQuery = query.Encode()
	return u.Redacted()
}
