package compile

import (
	"fmt"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	customv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/custom_header/v3"
	xffv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/xff/v3"
	"google.golang.org/protobuf/proto"

	"github.com/lateenmesh/lateen/internal/fieldcheck"
	"github.com/lateenmesh/lateen/proxy/filter/entry"
)

// detectors are the ways in which a connection manager finds its clients.
func detectors(m *hcmv3.HttpConnectionManager) ([]entry.Detector, error) {
	var out []entry.Detector
	for i, e := range m.GetOriginalIpDetectionExtensions() {
		at := fmt.Sprintf("[%d].typed_config", i)
		opened, err := unpack(e.GetTypedConfig())
		if err != nil {
			return nil, fieldcheck.At(at, err)
		}
		d, err := detector(opened)
		if err != nil {
			return nil, fieldcheck.At(at, err)
		}
		out = append(out, d)
	}
	if len(out) > 0 && (m.GetUseRemoteAddress().GetValue() || m.GetXffNumTrustedHops() > 0) {
		return nil, fieldcheck.Refuse("", "cannot stand beside use_remote_address or xff_num_trusted_hops, which say the same in another way")
	}
	return out, nil
}

func detector(m proto.Message) (entry.Detector, error) {
	switch t := m.(type) {
	case *customv3.CustomHeaderConfig:
		d := entry.HeaderAddress{Name: t.GetHeaderName(), Trusted: t.GetAllowExtensionToSetAddressAsTrusted()}
		if t.GetRejectWithStatus() != nil {
			if d.Status = int(t.GetRejectWithStatus().GetCode()); d.Status < 400 || d.Status > 511 {
				d.Status = 403
			}
		}
		return d, nil
	case *xffv3.XffConfig:
		proxies, err := ranges(t.GetXffTrustedCidrs().GetCidrs())
		if err == nil && t.GetXffNumTrustedHops() > 0 && t.GetXffTrustedCidrs() != nil {
			return nil, fieldcheck.Refuse("xff_trusted_cidrs", "cannot stand beside xff_num_trusted_hops")
		}
		return entry.ForwardedAddress{
			Hops: int(t.GetXffNumTrustedHops()), Proxies: proxies, Append: t.GetSkipXffAppend() != nil && !t.GetSkipXffAppend().GetValue(),
		}, fieldcheck.At("xff_trusted_cidrs.cidrs", err)
	default:
		return nil, fieldcheck.Refuse("", "%s is not supported, write CustomHeaderConfig or XffConfig", m.ProtoReflect().Descriptor().FullName())
	}
}
