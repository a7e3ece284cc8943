package compile

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// The tables of understood fields name only messages and fields that exist.
func TestFieldTables(t *testing.T) {
	wrong := Fields.Unknown(func(n protoreflect.FullName) protoreflect.MessageDescriptor {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(n)
		if err != nil {
			return nil
		}
		return d.(protoreflect.MessageDescriptor)
	})
	for _, name := range wrong {
		t.Errorf("no such message or field: %s", name)
	}
}

// structural are fields of which only the presence matters, or what they are within.
var structural = map[string]string{
	"envoy.extensions.filters.network.http_connection_manager.v3.Rds.config_source": "routes come over the one stream",
	"envoy.config.core.v3.ConfigSource.ads":                                         "the only source there is",
	"envoy.config.ratelimit.v3.RateLimitServiceConfig.transport_api_version":        "only v3 exists",
	"envoy.extensions.filters.http.ext_authz.v3.ExtAuthz.transport_api_version":     "only v3 exists",
	"envoy.extensions.filters.network.ext_authz.v3.ExtAuthz.transport_api_version":  "only v3 exists",
	"envoy.extensions.filters.http.compressor.v3.CompressorPerRoute.overrides":      "an empty one wakes the filter",
}

// What the page calls read is read: the code asks for each such field, or for the
// case of the oneof that it is.
func TestFieldsAreRead(t *testing.T) {
	var code strings.Builder
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(filepath.Base(path), "fields") {
			return err
		}
		text, err := os.ReadFile(path)
		code.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	for _, w := range regexp.MustCompile(`(?:\.Get|_)\w+`).FindAllString(code.String(), -1) {
		w = strings.TrimPrefix(w, ".Get")
		w = strings.ToLower(strings.TrimSuffix(w[strings.LastIndexByte(strings.TrimSuffix(w, "_"), '_')+1:], "_"))
		words[w] = true
	}
	for _, w := range regexp.MustCompile(`\.Get\w+`).FindAllString(code.String(), -1) {
		words[strings.ToLower(strings.ReplaceAll(w[4:], "_", ""))] = true
	}
	for message, fields := range allFields {
		for _, f := range strings.Fields(fields.Read) {
			name := string(message) + "." + f
			if f != "*" && !words[strings.ReplaceAll(f, "_", "")] && structural[name] == "" {
				t.Errorf("%s is called read and nobody reads it", name)
			}
		}
	}
}
