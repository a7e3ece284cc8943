package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// proxyConfig is what the agent takes from Istio's ProxyConfig.
type proxyConfig struct {
	DiscoveryAddress         string            `json:"discoveryAddress"`
	Concurrency              int               `json:"concurrency"`
	TerminationDrainDuration duration          `json:"terminationDrainDuration"`
	StatusPort               uint16            `json:"statusPort"`
	ProxyAdminPort           uint16            `json:"proxyAdminPort"`
	ProxyMetadata            map[string]string `json:"proxyMetadata"`
	ProxyStatsMatcher        inclusion         `json:"proxyStatsMatcher"`

	given map[string]json.RawMessage
}

// elsewhere are fields that others act on (injector, control plane), or that
// say what is so anyway.
var elsewhere = []string{"holdApplicationUntilProxyStarts", "meshId", "interceptionMode", "image", "configPath", "binaryPath",
	"serviceCluster", "controlPlaneAuthPolicy", "availabilityZone"}

// readProxyConfig reads a ProxyConfig in JSON or YAML.
func readProxyConfig(text string) (proxyConfig, error) {
	var c proxyConfig
	asJSON, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(asJSON, &c); err != nil {
		return c, err
	}
	return c, json.Unmarshal(asJSON, &c.given)
}

// ignored names the fields that have no effect here.
func (c proxyConfig) ignored() []string {
	known := append([]string{"discoveryAddress", "concurrency", "terminationDrainDuration", "statusPort", "proxyAdminPort", "proxyMetadata", "proxyStatsMatcher"}, elsewhere...)
	var out []string
	for _, key := range slices.Sorted(maps.Keys(c.given)) {
		if !slices.Contains(known, key) {
			out = append(out, "PROXY_CONFIG."+key)
		}
	}
	return out
}

// duration is written as protobuf does: "5s".
type duration time.Duration

// UnmarshalJSON implements [json.Unmarshaler].
func (d *duration) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if seconds, err := strconv.Atoi(text); err == nil {
		*d = duration(time.Duration(seconds) * time.Second)
		return nil
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%s is not a duration such as \"5s\"", b)
	}
	*d = duration(v)
	return nil
}
