package main

import (
	"flag"
	"reflect"
	"strings"
)

// field is one setting: a struct field whose tags say its flag, its
// environment variable, its default and its help.
type field struct {
	name      string // the struct field's
	flag, env string // each may be empty
	help      string
	fallback  string
	value     reflect.Value
}

// fields visits every setting of s in order.
func fields(s *settings, visit func(field)) {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		t := v.Type().Field(i)
		name, env, _ := strings.Cut(t.Tag.Get("set"), ",")
		visit(field{name: t.Name, flag: name, env: env, help: t.Tag.Get("help"), fallback: t.Tag.Get("default"), value: v.Field(i)})
	}
}

// register sets the field from the environment or its default, and lets a flag
// override it.
func (f field) register(flags *flag.FlagSet, env func(string) (string, bool)) {
	text := f.fallback
	if f.env != "" {
		if v, ok := env(f.env); ok && v != "" {
			text = v
		}
	}
	help := f.help
	if f.env != "" {
		help += " (env " + f.env + ")"
	}
	switch p := f.value.Addr().Interface().(type) {
	case *string:
		*p = text
		if f.flag != "" {
			flags.StringVar(p, f.flag, text, help)
		}
	case *bool:
		*p = text == "1" || strings.EqualFold(text, "true")
		if f.flag != "" {
			flags.BoolVar(p, f.flag, *p, help)
		}
	}
}
