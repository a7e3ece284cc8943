package kubelet

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// environment makes a container's variables: the machine's own few, what the
// image brings, what the mesh tells, and what the pod's author says, who has the
// last word.
func (w *worker) environment(ctx context.Context, pod *corev1.Pod, c *corev1.Container) (map[string]string, error) {
	env := map[string]string{}
	for _, name := range []string{"PATH", "HOME", "LANG", "TZ", "TMPDIR", "GOCOVERDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env[name] = v
		}
	}
	w.tellMesh(env, c)
	p := w.programs[c.Name]
	maps.Copy(env, p.Env)
	for _, from := range c.EnvFrom {
		if err := w.envFrom(ctx, pod, from, env); err != nil {
			return nil, err
		}
	}
	for _, v := range c.Env {
		value, err := w.value(ctx, pod, c, v, env)
		if err != nil {
			return nil, fmt.Errorf("container %s: variable %s: %w", c.Name, v.Name, err)
		}
		if value != nil {
			env[v.Name] = *value
		}
	}
	return env, nil
}

// tellMesh says where to listen and how to reach others.
func (w *worker) tellMesh(env map[string]string, c *corev1.Container) {
	p := w.programs[c.Name]
	env["HOSTNAME"], env["POD_IP"] = w.name, w.ip.String()
	env["LATEEN_ROOT"] = w.rootOf(c.Name)
	env["LATEEN_NAMESERVER"] = w.Nameserver.String()
	env["LATEEN_LOW_PORTS"] = strconv.Itoa(int(w.LowPorts))
	env["KUBERNETES_SERVICE_HOST"], env["KUBERNETES_SERVICE_PORT"] = w.API.Addr().String(), strconv.Itoa(int(w.API.Port()))
	if p.Mesh {
		env["LATEEN_EXPLICIT"], env["LATEEN_APP_PORTS"], env["INSTANCE_IP"] = "1", w.appPorts(), w.ip.String()
		return
	}
	env["HOST"] = "127.0.0.1"
	ports := portsOf(*c, p)
	for i, port := range ports {
		private := strconv.Itoa(w.private[port])
		env["PORT_"+strconv.Itoa(int(port))] = private
		if i == 0 {
			env["PORT"] = private
		}
	}
	via := w.Mixed
	if w.injected {
		via = netip.AddrPortFrom(w.ip, sidecarProxyPort)
	}
	for name, value := range map[string]string{"http_proxy": "http://" + via.String(), "https_proxy": "http://" + via.String(), "all_proxy": "socks5h://" + via.String(), "no_proxy": "localhost,127.0.0.1"} {
		env[name], env[strings.ToUpper(name)] = value, value
	}
}

// sidecarProxyPort is where a sidecar takes the application's calls.
const sidecarProxyPort = 15080

func (w *worker) envFrom(ctx context.Context, pod *corev1.Pod, from corev1.EnvFromSource, env map[string]string) error {
	switch {
	case from.ConfigMapRef != nil:
		m, err := w.Kube.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, from.ConfigMapRef.Name, metav1.GetOptions{})
		if err != nil {
			return optional(from.ConfigMapRef.Optional, err)
		}
		for k, v := range m.Data {
			env[from.Prefix+k] = v
		}
	case from.SecretRef != nil:
		s, err := w.Kube.CoreV1().Secrets(pod.Namespace).Get(ctx, from.SecretRef.Name, metav1.GetOptions{})
		if err != nil {
			return optional(from.SecretRef.Optional, err)
		}
		for k, v := range s.Data {
			env[from.Prefix+k] = string(v)
		}
	}
	return nil
}

// optional forgives that an optional source is not there.
func optional(o *bool, err error) error {
	if o != nil && *o && apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// value finds a variable's value; nil when an optional source has none.
func (w *worker) value(ctx context.Context, pod *corev1.Pod, c *corev1.Container, v corev1.EnvVar, env map[string]string) (*string, error) {
	from := v.ValueFrom
	if from == nil {
		value := expand(v.Value, env)
		return &value, nil
	}
	switch {
	case from.FieldRef != nil:
		value, err := w.field(pod, from.FieldRef.FieldPath)
		return &value, err
	case from.ResourceFieldRef != nil:
		value, err := resourceField(c, from.ResourceFieldRef)
		return &value, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		m, err := w.Kube.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return nil, optional(ref.Optional, err)
		}
		value, ok := m.Data[ref.Key]
		return present(value, ok, ref.Optional, ref.Key, "ConfigMap "+ref.Name)
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		s, err := w.Kube.CoreV1().Secrets(pod.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return nil, optional(ref.Optional, err)
		}
		value, ok := s.Data[ref.Key]
		return present(string(value), ok, ref.Optional, ref.Key, "Secret "+ref.Name)
	}
	return nil, fmt.Errorf("valueFrom of this kind is not supported on one machine: write the value itself")
}

func present(value string, ok bool, may *bool, key, where string) (*string, error) {
	if ok {
		return &value, nil
	}
	if may != nil && *may {
		return nil, nil
	}
	return nil, fmt.Errorf("no key %q in %s", key, where)
}

// field reads a fieldRef.
func (w *worker) field(pod *corev1.Pod, path string) (string, error) {
	for kind, all := range map[string]map[string]string{"metadata.labels": pod.Labels, "metadata.annotations": pod.Annotations} {
		if path == kind {
			return lines(all), nil
		}
		if key, ok := strings.CutPrefix(path, kind+"['"); ok {
			return all[strings.TrimSuffix(key, "']")], nil
		}
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "spec.nodeName":
		return w.Node, nil
	case "spec.serviceAccountName":
		return cmp.Or(pod.Spec.ServiceAccountName, "default"), nil
	case "status.podIP", "status.podIPs":
		return w.ip.String(), nil
	case "status.hostIP", "status.hostIPs":
		return "127.0.0.1", nil
	}
	return "", fmt.Errorf("field %q is not one that a pod can be told", path)
}

// lines is the downward API's form of a map.
func lines(all map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s=%q\n", k, all[k])
	}
	return b.String()
}

func resourceField(c *corev1.Container, ref *corev1.ResourceFieldSelector) (string, error) {
	kind, name, _ := strings.Cut(ref.Resource, ".")
	list := c.Resources.Limits
	if kind == "requests" {
		list = c.Resources.Requests
	}
	quantity, ok := list[corev1.ResourceName(name)]
	if !ok {
		return "0", nil // no limit
	}
	divisor := ref.Divisor
	if divisor.IsZero() {
		return strconv.FormatInt(quantity.Value(), 10), nil
	}
	return strconv.FormatInt((quantity.MilliValue()+divisor.MilliValue()-1)/divisor.MilliValue(), 10), nil
}

// expand replaces $(NAME) by known variables; $$ is a dollar sign.
func expand(text string, env map[string]string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			return b.String() + text
		}
		b.WriteString(text[:i])
		switch rest := text[i+1:]; rest[0] {
		case '$':
			b.WriteByte('$')
			text = rest[1:]
		case '(':
			name, after, closed := strings.Cut(rest[1:], ")")
			value, known := env[name]
			if !closed || !known {
				b.WriteByte('$')
				text = rest
				continue
			}
			b.WriteString(value)
			text = after
		default:
			b.WriteByte('$')
			text = rest
		}
	}
}

func pairs(env map[string]string) []string {
	all := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		all = append(all, k+"="+env[k])
	}
	return all
}

func (w *worker) rootOf(container string) string {
	return filepath.Join(w.dir, "containers", container, "root")
}

// localPort is where an application really listens for what the pod calls port.
func (w *worker) localPort(port int32) string {
	if private := w.private[port]; private != 0 {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(private))
	}
	return w.shift(netip.AddrPortFrom(w.ip, uint16(port))).String()
}
