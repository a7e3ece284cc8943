package validate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Pod checks a pod, and that an update changes only what may change in a pod.
func Pod(p, old *corev1.Pod) field.ErrorList {
	if old != nil {
		return podUpdate(p, old)
	}
	return podSpec(&p.Spec, field.NewPath("spec"))
}

// podUpdate allows new images, tolerations, a deadline, and the choice of a node.
func podUpdate(p, old *corev1.Pod) field.ErrorList {
	now, was := p.Spec.DeepCopy(), &old.Spec
	for _, lists := range [][2][]corev1.Container{{now.Containers, was.Containers}, {now.InitContainers, was.InitContainers}} {
		if len(lists[0]) != len(lists[1]) {
			return field.ErrorList{field.Forbidden(field.NewPath("spec").Child("containers"), "pod updates may not add or remove containers")}
		}
		for i := range lists[0] {
			if lists[0][i].Image == "" {
				return field.ErrorList{field.Required(field.NewPath("spec", "containers").Index(i).Child("image"), "")}
			}
			lists[0][i].Image = lists[1][i].Image
		}
	}
	now.Tolerations = was.Tolerations
	now.ActiveDeadlineSeconds = was.ActiveDeadlineSeconds
	now.TerminationGracePeriodSeconds = was.TerminationGracePeriodSeconds
	now.SchedulingGates = was.SchedulingGates
	now.EphemeralContainers = was.EphemeralContainers
	if was.NodeName == "" {
		now.NodeName = ""
	}
	if apiequality.Semantic.DeepEqual(*now, *was) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec"),
		"pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)")}
}

// podTemplate checks the pods of a workload, which must restart unless allowed otherwise.
func podTemplate(t *corev1.PodTemplateSpec, path *field.Path, restart ...corev1.RestartPolicy) field.ErrorList {
	errs := metav1validation.ValidateLabels(t.Labels, path.Child("metadata", "labels"))
	errs = append(errs, podSpec(&t.Spec, path.Child("spec"))...)
	if len(restart) > 0 {
		errs = append(errs, oneOf(t.Spec.RestartPolicy, path.Child("spec", "restartPolicy"), restart...)...)
	}
	return errs
}

func podSpec(s *corev1.PodSpec, path *field.Path) field.ErrorList {
	volumes, errs := volumeNames(s.Volumes, path.Child("volumes"))
	names := sets.New[string]()
	if len(s.Containers) == 0 {
		errs = append(errs, field.Required(path.Child("containers"), ""))
	}
	for i := range s.InitContainers {
		errs = append(errs, container(&s.InitContainers[i], names, volumes, path.Child("initContainers").Index(i))...)
	}
	ports := sets.New[string]()
	for i := range s.Containers {
		at := path.Child("containers").Index(i)
		errs = append(errs, container(&s.Containers[i], names, volumes, at)...)
		errs = append(errs, hostPorts(&s.Containers[i], ports, at)...)
	}
	errs = append(errs, oneOf(s.RestartPolicy, path.Child("restartPolicy"),
		corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)...)
	errs = append(errs, oneOf(s.DNSPolicy, path.Child("dnsPolicy"),
		corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone)...)
	errs = append(errs, atLeast(s.TerminationGracePeriodSeconds, 0, path.Child("terminationGracePeriodSeconds"))...)
	errs = append(errs, metav1validation.ValidateLabels(s.NodeSelector, path.Child("nodeSelector"))...)
	if n := s.ServiceAccountName; n != "" {
		errs = append(errs, wrong(n, validation.IsDNS1123Subdomain(n), path.Child("serviceAccountName"))...)
	}
	return errs
}

func volumeNames(volumes []corev1.Volume, path *field.Path) (sets.Set[string], field.ErrorList) {
	names := sets.New[string]()
	var errs field.ErrorList
	for i, v := range volumes {
		at := path.Index(i)
		switch {
		case v.Name == "":
			errs = append(errs, field.Required(at.Child("name"), ""))
		case names.Has(v.Name):
			errs = append(errs, field.Duplicate(at.Child("name"), v.Name))
		default:
			errs = append(errs, wrong(v.Name, validation.IsDNS1123Label(v.Name), at.Child("name"))...)
		}
		names.Insert(v.Name)
		if v.Secret != nil {
			errs = append(errs, required(v.Secret.SecretName, at.Child("secret", "secretName"))...)
		}
		if v.ConfigMap != nil {
			errs = append(errs, required(v.ConfigMap.Name, at.Child("configMap", "name"))...)
		}
	}
	return names, errs
}

func container(c *corev1.Container, names, volumes sets.Set[string], path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case c.Name == "":
		errs = append(errs, field.Required(path.Child("name"), ""))
	case names.Has(c.Name):
		errs = append(errs, field.Duplicate(path.Child("name"), c.Name))
	default:
		errs = append(errs, wrong(c.Name, validation.IsDNS1123Label(c.Name), path.Child("name"))...)
	}
	names.Insert(c.Name)
	errs = append(errs, required(c.Image, path.Child("image"))...)
	errs = append(errs, oneOf(c.ImagePullPolicy, path.Child("imagePullPolicy"), corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)...)
	errs = append(errs, containerPorts(c.Ports, path.Child("ports"))...)
	errs = append(errs, environment(c.Env, path.Child("env"))...)
	errs = append(errs, mounts(c.VolumeMounts, volumes, path.Child("volumeMounts"))...)
	errs = append(errs, probe(c.LivenessProbe, path.Child("livenessProbe"))...)
	errs = append(errs, probe(c.ReadinessProbe, path.Child("readinessProbe"))...)
	errs = append(errs, probe(c.StartupProbe, path.Child("startupProbe"))...)
	return append(errs, resources(&c.Resources, path.Child("resources"))...)
}

func containerPorts(ports []corev1.ContainerPort, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := sets.New[string]()
	for i, p := range ports {
		at := path.Index(i)
		if p.Name != "" {
			errs = append(errs, wrong(p.Name, validation.IsValidPortName(p.Name), at.Child("name"))...)
			if names.Has(p.Name) {
				errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
			}
			names.Insert(p.Name)
		}
		if p.ContainerPort == 0 {
			errs = append(errs, field.Required(at.Child("containerPort"), ""))
		} else {
			errs = append(errs, port(p.ContainerPort, at.Child("containerPort"))...)
		}
		errs = append(errs, oneOf(p.Protocol, at.Child("protocol"), corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)...)
	}
	return errs
}

func hostPorts(c *corev1.Container, taken sets.Set[string], path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, p := range c.Ports {
		if p.HostPort == 0 {
			continue
		}
		key := fmt.Sprintf("%s/%s/%d", p.Protocol, p.HostIP, p.HostPort)
		if taken.Has(key) {
			errs = append(errs, field.Duplicate(path.Child("ports").Index(i).Child("hostPort"), key))
		}
		taken.Insert(key)
	}
	return errs
}

func environment(env []corev1.EnvVar, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, e := range env {
		at := path.Index(i)
		errs = append(errs, required(e.Name, at.Child("name"))...)
		if e.ValueFrom != nil && e.Value != "" {
			errs = append(errs, field.Invalid(at.Child("valueFrom"), "", "may not be specified when `value` is not empty"))
		}
	}
	return errs
}

func mounts(list []corev1.VolumeMount, volumes sets.Set[string], path *field.Path) field.ErrorList {
	var errs field.ErrorList
	paths := sets.New[string]()
	for i, m := range list {
		at := path.Index(i)
		switch {
		case m.Name == "":
			errs = append(errs, field.Required(at.Child("name"), ""))
		case !volumes.Has(m.Name):
			errs = append(errs, field.NotFound(at.Child("name"), m.Name))
		}
		if m.MountPath == "" {
			errs = append(errs, field.Required(at.Child("mountPath"), ""))
		}
		if paths.Has(m.MountPath) {
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must be unique"))
		}
		paths.Insert(m.MountPath)
	}
	return errs
}

func probe(p *corev1.Probe, path *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	var errs field.ErrorList
	handlers := 0
	if p.Exec != nil {
		handlers++
		if len(p.Exec.Command) == 0 {
			errs = append(errs, field.Required(path.Child("exec", "command"), ""))
		}
	}
	if p.HTTPGet != nil {
		handlers++
		errs = append(errs, probePort(p.HTTPGet.Port.IntValue(), p.HTTPGet.Port.StrVal, path.Child("httpGet", "port"))...)
	}
	if p.TCPSocket != nil {
		handlers++
		errs = append(errs, probePort(p.TCPSocket.Port.IntValue(), p.TCPSocket.Port.StrVal, path.Child("tcpSocket", "port"))...)
	}
	if p.GRPC != nil {
		handlers++
		errs = append(errs, port(p.GRPC.Port, path.Child("grpc", "port"))...)
	}
	switch {
	case handlers == 0:
		errs = append(errs, field.Required(path, "must specify a handler type"))
	case handlers > 1:
		errs = append(errs, field.Forbidden(path, "may not specify more than 1 handler type"))
	}
	errs = append(errs, atLeast(&p.InitialDelaySeconds, 0, path.Child("initialDelaySeconds"))...)
	errs = append(errs, atLeast(&p.TimeoutSeconds, 0, path.Child("timeoutSeconds"))...)
	errs = append(errs, atLeast(&p.PeriodSeconds, 0, path.Child("periodSeconds"))...)
	return errs
}

func probePort(number int, name string, path *field.Path) field.ErrorList {
	if name != "" {
		return wrong(name, validation.IsValidPortName(name), path)
	}
	return port(int32(number), path)
}

func resources(r *corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for name, request := range r.Requests {
		at := path.Child("requests").Key(string(name))
		if request.Sign() < 0 {
			errs = append(errs, field.Invalid(at, request.String(), "must be greater than or equal to 0"))
		}
		if limit, ok := r.Limits[name]; ok && request.Cmp(limit) > 0 {
			errs = append(errs, field.Invalid(path.Child("requests"), request.String(), fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String())))
		}
	}
	return errs
}
