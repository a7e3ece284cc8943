package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
)

// metadataPrefix begins the variables that become node metadata.
const metadataPrefix = "ISTIO_META_"

// metadata are the environment's ISTIO_META_ variables.
func metadata(environ []string) map[string]any {
	out := map[string]any{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if key, ok := strings.CutPrefix(name, metadataPrefix); ok {
			out[key] = decoded(value)
		}
	}
	return out
}

// decoded is a value that is read as JSON when it is a list or an object.
func decoded(value string) any {
	var v any
	if strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{") {
		if json.Unmarshal([]byte(value), &v) == nil {
			return v
		}
	}
	return value
}

// podFile reads lines of key="value", where the value is a quoted string.
func podFile(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the pod's labels: %w", err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, quoted, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			continue
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("read %s: line %q: %w", path, line, err)
		}
		out[key] = value
	}
	return out, nil
}

// level is the log level of Envoy's word for it.
func level(word string) (slog.Level, error) {
	switch word {
	case "trace", "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "", "warning", "warn":
		return slog.LevelWarn, nil
	case "error", "err":
		return slog.LevelError, nil
	case "critical", "off":
		return slog.LevelError + 8, nil
	}
	return 0, fmt.Errorf("log level %q is not known: want trace, debug, info, warning, error, critical or off", word)
}
