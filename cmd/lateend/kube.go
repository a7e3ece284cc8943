package main

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// serviceAccountDir is where a pod finds its credentials, below the root.
const serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// The client's limits: informers are few, status writes are limited by
// themselves.
const (
	queriesPerSecond = 80
	queriesAtOnce    = 160
)

// restConfig says how to reach the API server.
func restConfig(s settings) (*rest.Config, error) {
	c, err := kubeconfig(s)
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	c.QPS, c.Burst, c.UserAgent = queriesPerSecond, queriesAtOnce, "lateend"
	return c, nil
}

func kubeconfig(s settings) (*rest.Config, error) {
	if s.Kubeconfig != "" {
		return clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	}
	if s.APIHost == "" || s.APIPort == "" {
		return nil, errors.New("not inside a cluster (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set): give --kubeconfig")
	}
	dir := filepath.Join("/", s.Root, serviceAccountDir)
	return &rest.Config{
		Host:            "https://" + net.JoinHostPort(s.APIHost, s.APIPort),
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(dir, "ca.crt")},
		BearerTokenFile: filepath.Join(dir, "token"),
	}, nil
}
