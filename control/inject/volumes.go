package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// tokenLife is how long a projected token lasts, in seconds: 12 hours, renewed
// by the kubelet.
const tokenLife = int64(43200)

// mounts are where the proxy finds its files.
func (i *injection) mounts() []corev1.VolumeMount {
	out := []corev1.VolumeMount{
		{Name: "istiod-ca-cert", MountPath: "/var/run/secrets/istio"},
		{Name: "istio-data", MountPath: "/var/lib/istio/data"},
		{Name: "istio-envoy", MountPath: "/etc/istio/proxy"},
		{Name: "istio-token", MountPath: "/var/run/secrets/tokens"},
		{Name: "istio-podinfo", MountPath: "/etc/istio/pod"},
	}
	for _, name := range sortedKeys(i.wishes.mounts) {
		m := i.wishes.mounts[name]
		m.Name = name
		out = append(out, m)
	}
	return out
}

// addVolumes adds the volumes behind the mounts, except those that the pod
// declares itself.
func (i *injection) addVolumes() {
	volumes := []corev1.Volume{
		{Name: "istio-envoy", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}},
		{Name: "istio-data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "istio-podinfo", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
			{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.labels"}},
			{Path: "annotations", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.annotations"}},
		}}}},
		{Name: "istio-token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
			ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "istio-ca", ExpirationSeconds: ptr(tokenLife), Path: "istio-token"},
		}}}}},
		{Name: "istiod-ca-cert", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "istio-ca-root-cert"},
		}}},
	}
	for _, name := range sortedKeys(i.wishes.volumes) {
		volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: i.wishes.volumes[name]})
	}
	for _, v := range volumes {
		if slices.ContainsFunc(i.pod.Spec.Volumes, func(o corev1.Volume) bool { return o.Name == v.Name }) {
			continue
		}
		i.pod.Spec.Volumes = append(i.pod.Spec.Volumes, v)
		i.added.Volumes = append(i.added.Volumes, v.Name)
	}
}
