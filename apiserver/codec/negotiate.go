// Package codec is the outer skin of the API: which representation a client asks
// for, and the bytes of bodies in JSON, YAML and protobuf.
package codec

import (
	"mime"
	"strings"
)

// Media types.
const (
	JSON     = "application/json"
	YAML     = "application/yaml"
	Protobuf = "application/vnd.kubernetes.protobuf"
)

// Format is one representation that a client accepts.
type Format struct {
	// Media is JSON, YAML or Protobuf.
	Media string
	// As is the kind to convert to: Table, PartialObjectMetadata, PartialObjectMetadataList, APIGroupDiscoveryList, or "".
	As string
	// Version and Group belong to As.
	Version, Group string
}

// Accept lists the formats of an Accept header that exist here, in the client's
// order. An empty or wild header means JSON.
func Accept(header string) []Format {
	if strings.TrimSpace(header) == "" {
		return []Format{{Media: JSON}}
	}
	var formats []Format
	for _, part := range strings.Split(header, ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		switch media {
		case "*/*", "application/*":
			media = JSON
		case "text/yaml", "application/x-yaml":
			media = YAML
		case JSON, YAML, Protobuf:
		default:
			continue
		}
		formats = append(formats, Format{Media: media, As: params["as"], Version: params["v"], Group: params["g"]})
	}
	return formats
}

// Choose returns the first format that ok approves of.
func Choose(header string, ok func(Format) bool) (Format, bool) {
	for _, f := range Accept(header) {
		if ok(f) {
			return f, true
		}
	}
	return Format{}, false
}

// MediaOf is the media type of a body by its Content-Type; JSON when there is none.
func MediaOf(contentType string) string {
	if contentType == "" {
		return JSON
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return contentType
	}
	switch media {
	case "text/yaml", "application/x-yaml":
		return YAML
	}
	return media
}
