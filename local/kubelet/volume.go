package kubelet

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mount makes the pod's volumes and shows each in the containers' roots.
func (w *worker) mount(ctx context.Context, pod *corev1.Pod) error {
	if err := w.fill(ctx, pod); err != nil {
		return err
	}
	for _, c := range containers(pod) {
		root := w.rootOf(c.Name)
		if err := os.MkdirAll(root, 0o755); err != nil {
			return err
		}
		for _, m := range c.VolumeMounts {
			target := filepath.Join(w.volumeDir(pod, m.Name), filepath.Clean("/"+m.SubPath))
			if err := show(target, filepath.Join(root, filepath.Clean("/"+m.MountPath))); err != nil {
				return fmt.Errorf("mount %s at %s: %w", m.Name, m.MountPath, err)
			}
		}
		if err := show(filepath.Join(w.dir, "account"), filepath.Join(root, "var/run/secrets/kubernetes.io/serviceaccount")); err != nil {
			return err
		}
	}
	return nil
}

// show makes path a link to target, unless something is there already.
func show(target, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Symlink(target, path); err != nil && !os.IsExist(err) {
		return err
	}
	return nil
}

func (w *worker) volumeDir(pod *corev1.Pod, name string) string {
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; v.Name == name && v.HostPath != nil {
			return v.HostPath.Path
		}
	}
	return filepath.Join(w.dir, "volumes", name)
}

// fill writes the volumes' contents. Called again, it writes what has changed.
func (w *worker) fill(ctx context.Context, pod *corev1.Pod) error {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.HostPath != nil {
			continue
		}
		dir := filepath.Join(w.dir, "volumes", v.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		files, err := w.content(ctx, pod, v)
		if err != nil {
			return fmt.Errorf("volume %q: %w", v.Name, err)
		}
		if err := writeFiles(dir, files); err != nil {
			return err
		}
	}
	return w.account(ctx, pod)
}

// account writes the service account's credentials, as Kubernetes mounts them.
func (w *worker) account(ctx context.Context, pod *corev1.Pod) error {
	dir := filepath.Join(w.dir, "account")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if a := pod.Spec.AutomountServiceAccountToken; a != nil && !*a {
		return nil
	}
	token, err := w.token(ctx, pod, "", 3607)
	if err != nil {
		return fmt.Errorf("service account token: %w", err)
	}
	return writeFiles(dir, map[string][]byte{"token": token, "ca.crt": w.CA, "namespace": []byte(pod.Namespace)})
}

func (w *worker) content(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (map[string][]byte, error) {
	switch {
	case v.EmptyDir != nil:
		return nil, nil
	case v.ConfigMap != nil:
		return w.configMap(ctx, pod, v.ConfigMap.Name, v.ConfigMap.Items, v.ConfigMap.Optional)
	case v.Secret != nil:
		return w.secret(ctx, pod, v.Secret.SecretName, v.Secret.Items, v.Secret.Optional)
	case v.DownwardAPI != nil:
		return w.downward(pod, v.DownwardAPI.Items)
	case v.Projected != nil:
		return w.projected(ctx, pod, v.Projected.Sources)
	case v.CSI != nil, v.PersistentVolumeClaim != nil, v.NFS != nil:
		return nil, fmt.Errorf("volumes of this kind are not supported on one machine: use emptyDir or hostPath")
	}
	return nil, nil
}

func (w *worker) configMap(ctx context.Context, pod *corev1.Pod, name string, items []corev1.KeyToPath, may *bool) (map[string][]byte, error) {
	m, err := w.Kube.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, optional(may, fmt.Errorf("configmap %q: %w", name, err))
	}
	all := map[string][]byte{}
	for k, v := range m.Data {
		all[k] = []byte(v)
	}
	for k, v := range m.BinaryData {
		all[k] = v
	}
	return choose(all, items)
}

func (w *worker) secret(ctx context.Context, pod *corev1.Pod, name string, items []corev1.KeyToPath, may *bool) (map[string][]byte, error) {
	s, err := w.Kube.CoreV1().Secrets(pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, optional(may, fmt.Errorf("secret %q: %w", name, err))
	}
	return choose(s.Data, items)
}

// choose picks keys and gives them their paths; without items all are taken.
func choose(all map[string][]byte, items []corev1.KeyToPath) (map[string][]byte, error) {
	if len(items) == 0 {
		return all, nil
	}
	chosen := map[string][]byte{}
	for _, i := range items {
		v, ok := all[i.Key]
		if !ok {
			return nil, fmt.Errorf("no key %q", i.Key)
		}
		chosen[i.Path] = v
	}
	return chosen, nil
}

func (w *worker) downward(pod *corev1.Pod, items []corev1.DownwardAPIVolumeFile) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, i := range items {
		var value string
		var err error
		switch {
		case i.FieldRef != nil:
			value, err = w.field(pod, i.FieldRef.FieldPath)
		case i.ResourceFieldRef != nil:
			for n := range pod.Spec.Containers {
				if c := &pod.Spec.Containers[n]; c.Name == i.ResourceFieldRef.ContainerName {
					value, err = resourceField(c, i.ResourceFieldRef)
				}
			}
		}
		if err != nil {
			return nil, err
		}
		files[i.Path] = []byte(value)
	}
	return files, nil
}

func (w *worker) projected(ctx context.Context, pod *corev1.Pod, sources []corev1.VolumeProjection) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, s := range sources {
		var some map[string][]byte
		var err error
		switch {
		case s.ConfigMap != nil:
			some, err = w.configMap(ctx, pod, s.ConfigMap.Name, s.ConfigMap.Items, s.ConfigMap.Optional)
		case s.Secret != nil:
			some, err = w.secret(ctx, pod, s.Secret.Name, s.Secret.Items, s.Secret.Optional)
		case s.DownwardAPI != nil:
			some, err = w.downward(pod, s.DownwardAPI.Items)
		case s.ServiceAccountToken != nil:
			t := s.ServiceAccountToken
			seconds := int64(3600)
			if t.ExpirationSeconds != nil {
				seconds = *t.ExpirationSeconds
			}
			var token []byte
			token, err = w.token(ctx, pod, t.Audience, seconds)
			some = map[string][]byte{t.Path: token}
		default:
			err = fmt.Errorf("a projected source of this kind is not supported on one machine")
		}
		if err != nil {
			return nil, err
		}
		for k, v := range some {
			files[k] = v
		}
	}
	return files, nil
}

// issued is a token that has been asked for.
type issued struct {
	token   []byte
	renewAt time.Time
}

// token gives a service account token for an audience. It is asked for again
// when four fifths of its life are over.
func (w *worker) token(ctx context.Context, pod *corev1.Pod, audience string, seconds int64) ([]byte, error) {
	if t, ok := w.tokens[audience]; ok && time.Now().Before(t.renewAt) {
		return t.token, nil
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	if audience != "" {
		request.Spec.Audiences = []string{audience}
	}
	name := pod.Spec.ServiceAccountName
	if name == "" {
		name = "default"
	}
	made, err := w.Kube.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	life := time.Until(made.Status.ExpirationTimestamp.Time)
	t := issued{[]byte(made.Status.Token), time.Now().Add(life * 4 / 5)}
	w.tokens[audience] = t
	return t.token, nil
}

// writeFiles makes dir hold files, replacing each at once.
func writeFiles(dir string, files map[string][]byte) error {
	for name, content := range files {
		path := filepath.Join(dir, filepath.Clean("/"+name))
		if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, content) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		temporary := filepath.Join(filepath.Dir(path), "."+strings.ReplaceAll(filepath.Base(path), "/", "_")+".new")
		if err := os.WriteFile(temporary, content, 0o600); err != nil {
			return err
		}
		if err := os.Rename(temporary, path); err != nil {
			return err
		}
	}
	return nil
}
