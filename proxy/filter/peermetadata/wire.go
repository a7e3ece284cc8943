package peermetadata

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lateenmesh/lateen/proxy/stream"
)

// The keys of a workload's metadata, as they are in the node's metadata and on
// the wire.
const (
	keyName      = "NAME"
	keyNamespace = "NAMESPACE"
	keyWorkload  = "WORKLOAD_NAME"
	keyCluster   = "CLUSTER_ID"
	keyOwner     = "OWNER"
	keyLabels    = "LABELS"

	labelCanonicalName     = "service.istio.io/canonical-name"
	labelCanonicalRevision = "service.istio.io/canonical-revision"
	labelApp               = "app"
	labelVersion           = "version"

	ownerPrefix = "kubernetes://apis/apps/v1/namespaces/"
)

// kinds are the owners that travel, as they are spelled within an owner's URL.
var kinds = map[string]bool{"deployment": true, "cronjob": true, "job": true, "pod": true}

// FromNode reads what a node's metadata says of its workload.
func FromNode(meta *structpb.Struct) stream.Peer {
	f := meta.GetFields()
	text := func(key string) string { return f[key].GetStringValue() }
	labels := f[keyLabels].GetStructValue().GetFields()
	p := stream.Peer{
		Name:              text(keyName),
		Namespace:         text(keyNamespace),
		Workload:          text(keyWorkload),
		KubeCluster:       text(keyCluster),
		CanonicalName:     labels[labelCanonicalName].GetStringValue(),
		CanonicalRevision: labels[labelCanonicalRevision].GetStringValue(),
		App:               labels[labelApp].GetStringValue(),
		Version:           labels[labelVersion].GetStringValue(),
	}
	p.OwnerKind = ownerKind(text(keyOwner), p.Workload)
	return p
}

// Self is what a proxy tells of its own workload: as its node's metadata says,
// with the canonical name and revision that other labels imply where there is
// none.
func Self(meta *structpb.Struct) stream.Peer {
	p := FromNode(meta)
	labels := meta.GetFields()[keyLabels].GetStructValue().GetFields()
	label := func(key string) string { return labels[key].GetStringValue() }
	p.CanonicalName = cmp.Or(p.CanonicalName, label("app.kubernetes.io/name"), p.App, p.Workload)
	p.CanonicalRevision = cmp.Or(p.CanonicalRevision, label("app.kubernetes.io/version"), p.Version, "latest")
	return p
}

// ownerKind reads "deployment" from ".../namespaces/NS/deployments/NAME"; it
// is empty for kinds that do not travel.
func ownerKind(owner, workload string) string {
	rest, ok := strings.CutSuffix(owner, "s/"+workload)
	if !ok {
		return ""
	}
	if kind := rest[strings.LastIndexByte(rest, '/')+1:]; kinds[kind] {
		return kind
	}
	return ""
}

// Encode is the header x-envoy-peer-metadata of a workload: a Struct with its
// keys in order, in base64.
func Encode(p stream.Peer) (string, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(structOf(p))
	if err != nil {
		return "", fmt.Errorf("encode peer metadata: %w", err)
	}
	return base64.StdEncoding.EncodeToString(body), nil
}

func structOf(p stream.Peer) *structpb.Struct {
	labels := map[string]*structpb.Value{}
	put(labels, labelCanonicalName, p.CanonicalName)
	put(labels, labelCanonicalRevision, p.CanonicalRevision)
	put(labels, labelApp, p.App)
	put(labels, labelVersion, p.Version)
	fields := map[string]*structpb.Value{keyLabels: structpb.NewStructValue(&structpb.Struct{Fields: labels})}
	put(fields, keyName, p.Name)
	put(fields, keyNamespace, p.Namespace)
	put(fields, keyWorkload, p.Workload)
	put(fields, keyCluster, p.KubeCluster)
	if p.OwnerKind != "" {
		put(fields, keyOwner, ownerPrefix+p.Namespace+"/"+p.OwnerKind+"s/"+p.Workload)
	}
	return &structpb.Struct{Fields: fields}
}

func put(m map[string]*structpb.Value, key, value string) {
	if value != "" {
		m[key] = structpb.NewStringValue(value)
	}
}

// Decode reads the header x-envoy-peer-metadata.
func Decode(header string) (stream.Peer, error) {
	body, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		return stream.Peer{}, fmt.Errorf("decode peer metadata: %w", err)
	}
	var s structpb.Struct
	if err := proto.Unmarshal(body, &s); err != nil {
		return stream.Peer{}, fmt.Errorf("decode peer metadata: %w", err)
	}
	return FromNode(&s), nil
}
