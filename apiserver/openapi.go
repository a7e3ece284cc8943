package apiserver

import (
	"net/http"
	"slices"
	"strings"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/apiserver/kind"
)

// serveOpenAPI serves a skeleton of the OpenAPI documents. kubectl reads them
// to learn that PATCH takes fieldValidation, and then leaves validation to us;
// the schemas are empty.
func (s *Server) serveOpenAPI(w http.ResponseWriter, h *http.Request, path string) error {
	c := s.catalog.Load()
	switch path {
	case "/openapi/v2":
		if strings.Contains(h.Header.Get("Accept"), "proto-openapi.spec.v2") {
			return writeOpenAPIv2(w)
		}
		writeJSON(w, http.StatusOK, map[string]any{
			"swagger": "2.0", "info": openAPIInfo(), "paths": map[string]any{}, "definitions": map[string]any{},
		})
		return nil
	case "/openapi/v3":
		paths := map[string]any{}
		for _, g := range c.groups() {
			for _, v := range g.versions {
				p := groupPath(g.name, v)
				paths[p] = map[string]any{"serverRelativeURL": "/openapi/v3/" + p}
			}
		}
		writeJSON(w, http.StatusOK, map[string]any{"paths": paths})
		return nil
	}
	name := strings.TrimPrefix(path, "/openapi/v3/")
	for _, g := range c.groups() {
		i := slices.IndexFunc(g.versions, func(v string) bool { return groupPath(g.name, v) == name })
		if i >= 0 {
			writeJSON(w, http.StatusOK, openAPIDocument(name, g.versions[i], c.in(g.name, g.versions[i])))
			return nil
		}
	}
	return unknownPath()
}

func groupPath(group, version string) string {
	if group == "" {
		return "api/" + version
	}
	return "apis/" + group + "/" + version
}

func openAPIInfo() map[string]any {
	return map[string]any{"title": "Lateen", "version": versionInfo().GitVersion}
}

// openAPIDocument describes one group and version as far as kubectl asks.
func openAPIDocument(prefix, version string, kinds []*kind.Kind) map[string]any {
	paths := map[string]any{}
	schemas := map[string]any{}
	for _, k := range kinds {
		gvk := map[string]any{"group": k.Group, "version": version, "kind": k.Kind}
		schemas[strings.ReplaceAll(strings.Trim(k.Group+"."+version+"."+k.Kind, "."), "/", ".")] = map[string]any{
			"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-group-version-kind": []any{gvk},
		}
		where := "/" + prefix + "/" + k.Plural + "/{name}"
		if k.Namespaced {
			where = "/" + prefix + "/namespaces/{namespace}/" + k.Plural + "/{name}"
		}
		paths[where] = map[string]any{
			"get":   openAPIOperation("get", gvk),
			"patch": openAPIOperation("patch", gvk, "dryRun", "fieldManager", "fieldValidation", "force"),
			"put":   openAPIOperation("put", gvk, "dryRun", "fieldManager", "fieldValidation"),
		}
	}
	return map[string]any{
		"openapi": "3.0.0", "info": openAPIInfo(), "paths": paths,
		"components": map[string]any{"schemas": schemas},
	}
}

func openAPIOperation(action string, gvk map[string]any, params ...string) map[string]any {
	list := []any{}
	for _, p := range params {
		list = append(list, map[string]any{"name": p, "in": "query", "schema": map[string]any{"type": "string", "uniqueItems": true}})
	}
	return map[string]any{
		"parameters":                      list,
		"responses":                       map[string]any{"200": map[string]any{"description": "OK"}},
		"x-kubernetes-action":             action,
		"x-kubernetes-group-version-kind": gvk,
	}
}

// openAPIv2Proto is the media type in which kubectl wants the old document.
const openAPIv2Proto = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"

// writeOpenAPIv2 serves a document without definitions. kubectl looks there for kinds
// that the newer documents do not have, and then says that there are none.
func writeOpenAPIv2(w http.ResponseWriter) error {
	body, err := proto.Marshal(&openapi_v2.Document{
		Swagger: "2.0", Info: &openapi_v2.Info{Title: "Lateen", Version: versionInfo().GitVersion},
		Paths: &openapi_v2.Paths{}, Definitions: &openapi_v2.Definitions{},
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", openAPIv2Proto)
	w.WriteHeader(http.StatusOK)
	w.Write(body)
	return nil
}
