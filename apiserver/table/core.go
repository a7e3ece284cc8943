package table

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// Namespace prints namespaces.
var Namespace = Printer[corev1.Namespace]{
	Columns: columns("Name", "Status", "Age"),
	Row: func(n *corev1.Namespace) []any {
		return []any{n.Name, string(n.Status.Phase), Age(n.CreationTimestamp)}
	},
}

// ConfigMap prints config maps.
var ConfigMap = Printer[corev1.ConfigMap]{
	Columns: columns("Name", "Data", "Age"),
	Row: func(c *corev1.ConfigMap) []any {
		return []any{c.Name, int64(len(c.Data) + len(c.BinaryData)), Age(c.CreationTimestamp)}
	},
}

// Secret prints secrets, not what is in them.
var Secret = Printer[corev1.Secret]{
	Columns: columns("Name", "Type", "Data", "Age"),
	Row: func(s *corev1.Secret) []any {
		return []any{s.Name, string(s.Type), int64(len(s.Data)), Age(s.CreationTimestamp)}
	},
}

// ServiceAccount prints service accounts.
var ServiceAccount = Printer[corev1.ServiceAccount]{
	Columns: columns("Name", "Secrets", "Age"),
	Row: func(s *corev1.ServiceAccount) []any {
		return []any{s.Name, int64(len(s.Secrets)), Age(s.CreationTimestamp)}
	},
}

// Node prints nodes.
var Node = Printer[corev1.Node]{
	Columns: columns("Name", "Status", "Roles", "Age", "Version", "+Internal-IP", "+External-IP", "+OS-Image", "+Kernel-Version", "+Container-Runtime"),
	Row: func(n *corev1.Node) []any {
		info := n.Status.NodeInfo
		return []any{n.Name, nodeStatus(n), nodeRoles(n), Age(n.CreationTimestamp), info.KubeletVersion,
			nodeAddress(n, corev1.NodeInternalIP), nodeAddress(n, corev1.NodeExternalIP),
			orUnknown(info.OSImage), orUnknown(info.KernelVersion), orUnknown(info.ContainerRuntimeVersion)}
	},
}

func nodeStatus(n *corev1.Node) string {
	status := "Unknown"
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			status = "NotReady"
			if c.Status == corev1.ConditionTrue {
				status = "Ready"
			}
		}
	}
	if n.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	return status
}

func nodeRoles(n *corev1.Node) string {
	var roles []string
	for label := range n.Labels {
		if role, ok := strings.CutPrefix(label, "node-role.kubernetes.io/"); ok && role != "" {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	return orNone(strings.Join(roles, ","))
}

func nodeAddress(n *corev1.Node, kind corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == kind {
			return a.Address
		}
	}
	return none
}

func orUnknown(s string) string {
	if s == "" {
		return "<unknown>"
	}
	return s
}

// Event prints events.
var Event = Printer[corev1.Event]{
	Columns: columns("Last Seen", "Type", "Reason", "Object", "+Subobject", "+Source", "Message", "+First Seen", "+Count", "+Name"),
	Row: func(e *corev1.Event) []any {
		first := e.EventTime.Time
		if !e.FirstTimestamp.IsZero() {
			first = e.FirstTimestamp.Time
		}
		last := first
		if e.Series != nil {
			last = e.Series.LastObservedTime.Time
		} else if !e.LastTimestamp.IsZero() {
			last = e.LastTimestamp.Time
		}
		n := e.Count
		if e.Series != nil {
			n = e.Series.Count
		} else if n == 0 {
			n = 1
		}
		object := strings.ToLower(e.InvolvedObject.Kind)
		if e.InvolvedObject.Name != "" {
			object += "/" + e.InvolvedObject.Name
		}
		source := e.Source.Component
		if source == "" {
			source = e.ReportingController
		}
		if e.Source.Host != "" {
			source += ", " + e.Source.Host
		}
		return []any{since(last), e.Type, e.Reason, object, e.InvolvedObject.FieldPath, source,
			strings.TrimSpace(e.Message), since(first), int64(n), e.Name}
	},
}

func since(t time.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t))
}

// PersistentVolumeClaim prints claims.
var PersistentVolumeClaim = Printer[corev1.PersistentVolumeClaim]{
	Columns: columns("Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age", "+VolumeMode"),
	Row: func(c *corev1.PersistentVolumeClaim) []any {
		phase := string(c.Status.Phase)
		if c.DeletionTimestamp != nil {
			phase = "Terminating"
		}
		capacity, modes := "", ""
		if c.Spec.VolumeName != "" {
			size := c.Status.Capacity[corev1.ResourceStorage]
			capacity, modes = size.String(), accessModes(c.Status.AccessModes)
		}
		return []any{c.Name, phase, c.Spec.VolumeName, capacity, modes, deref(c.Spec.StorageClassName, ""),
			deref(c.Spec.VolumeAttributesClassName, "<unset>"), Age(c.CreationTimestamp), string(deref(c.Spec.VolumeMode, "<unset>"))}
	},
}

func accessModes(modes []corev1.PersistentVolumeAccessMode) string {
	short := map[corev1.PersistentVolumeAccessMode]string{
		corev1.ReadWriteOnce: "RWO", corev1.ReadOnlyMany: "ROX", corev1.ReadWriteMany: "RWX", corev1.ReadWriteOncePod: "RWOP"}
	var list []string
	for _, m := range modes {
		list = append(list, short[m])
	}
	return strings.Join(list, ",")
}

// PersistentVolume prints volumes.
var PersistentVolume = Printer[corev1.PersistentVolume]{
	Columns: columns("Name", "Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim", "StorageClass", "VolumeAttributesClass", "Reason", "Age", "+VolumeMode"),
	Row: func(v *corev1.PersistentVolume) []any {
		claim := ""
		if ref := v.Spec.ClaimRef; ref != nil {
			claim = ref.Namespace + "/" + ref.Name
		}
		size := v.Spec.Capacity[corev1.ResourceStorage]
		return []any{v.Name, size.String(), accessModes(v.Spec.AccessModes), string(v.Spec.PersistentVolumeReclaimPolicy), string(v.Status.Phase),
			claim, v.Spec.StorageClassName, deref(v.Spec.VolumeAttributesClassName, "<unset>"), v.Status.Reason, Age(v.CreationTimestamp),
			string(deref(v.Spec.VolumeMode, "<unset>"))}
	},
}

// ResourceQuota prints quotas.
var ResourceQuota = Printer[corev1.ResourceQuota]{
	Columns: columns("Name", "Request", "Limit", "Age"),
	Row: func(q *corev1.ResourceQuota) []any {
		var requests, limits []string
		for name, hard := range q.Status.Hard {
			used := q.Status.Used[name]
			text := fmt.Sprintf("%s: %s/%s", name, used.String(), hard.String())
			if strings.HasPrefix(string(name), "limits.") {
				limits = append(limits, text)
			} else {
				requests = append(requests, text)
			}
		}
		slices.Sort(requests)
		slices.Sort(limits)
		return []any{q.Name, strings.Join(requests, ", "), strings.Join(limits, ", "), Age(q.CreationTimestamp)}
	},
}

// LimitRange prints limit ranges, which show their date of birth.
var LimitRange = Printer[corev1.LimitRange]{
	Columns: columns("Name", "Created At"),
	Row:     func(l *corev1.LimitRange) []any { return []any{l.Name, born(l.CreationTimestamp)} },
}

func born(t metav1.Time) string { return t.UTC().Format(time.RFC3339) }
