package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// inclusion says which of Envoy's statistics a sidecar or gateway keeps. There
// are dozens for each cluster, which few look at.
type inclusion struct {
	Prefixes []string `json:"inclusionPrefixes"`
	Suffixes []string `json:"inclusionSuffixes"`
	Regexps  []string `json:"inclusionRegexps"`
}

// always is what Istio keeps without being asked.
var always = inclusion{
	Prefixes: []string{"cluster_manager", "listener_manager", "control_plane", "server", "cluster.xds-grpc"},
	Suffixes: []string{"rbac.allowed", "rbac.denied", "shadow_allowed", "shadow_denied"},
}

// matcher compiles what is kept: Istio's own list, ProxyConfig's and the pod's
// annotations (sidecar.istio.io/statsInclusionPrefixes, ...Suffixes, ...Regexps).
func (i inclusion) matcher(annotations map[string]string) (func(string) bool, error) {
	annotated := func(kind string) []string {
		text := annotations["sidecar.istio.io/statsInclusion"+kind]
		return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
	}
	prefixes := slices.Concat(always.Prefixes, i.Prefixes, annotated("Prefixes"))
	suffixes := slices.Concat(always.Suffixes, i.Suffixes, annotated("Suffixes"))
	var patterns []*regexp.Regexp
	for _, text := range slices.Concat(i.Regexps, annotated("Regexps")) {
		re, err := regexp.Compile("^(?:" + text + ")$")
		if err != nil {
			return nil, fmt.Errorf("statistics to keep: %w", err)
		}
		patterns = append(patterns, re)
	}
	return func(name string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) ||
			slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) }) ||
			slices.ContainsFunc(patterns, func(re *regexp.Regexp) bool { return re.MatchString(name) })
	}, nil
}
